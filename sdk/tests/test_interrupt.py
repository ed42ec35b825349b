"""A key press ends a call, whatever it is waiting for."""

import signal
import threading
import time

import polars as pl
import pytest

SECONDS_MAX = 5.0


@pytest.fixture
def interrupt_soon():
    """Raises KeyboardInterrupt in the main thread a moment after the test asks for it."""
    timers = []

    def start(seconds=0.2):
        target = threading.main_thread().ident
        timer = threading.Timer(seconds, signal.pthread_kill, (target, signal.SIGINT))
        timer.start()
        timers.append(timer)

    yield start
    for timer in timers:
        timer.cancel()
        timer.join()


def test_an_insert_can_be_interrupted(fs, interrupt_soon):
    group = fs.create_feature_group("many", primary_key="id")
    group.insert({"id": [0], "text": ["a"]})
    frame = pl.DataFrame({"id": range(6_000_000), "text": "a text that takes a while"})
    interrupt_soon()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        group.insert(frame)
    assert time.monotonic() - began < SECONDS_MAX
    # The store goes on.
    group.insert({"id": [-1], "text": ["b"]}, wait=True)
    assert -1 in set(group.read(online=True, dataframe_type="polars")["id"])


def test_a_wait_times_out(fs):
    from twinfold.exceptions import WaitTimeoutError

    group = fs.create_feature_group("many", primary_key="id")
    receipt = group.insert(pl.DataFrame({"id": range(1_000_000)}))
    with pytest.raises(WaitTimeoutError, match="did not finish") as caught:
        receipt.wait(timeout_s=0.0)
    assert isinstance(caught.value, TimeoutError)
    receipt.wait()
