"""A key press ends a call, whatever it is waiting for."""

import signal
import threading
import time

import polars as pl
import pytest

from twinfold.exceptions import WaitTimeoutError

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


@pytest.fixture
def many(fs):
    group = fs.create_feature_group("many", primary_key="id")
    group.insert({"id": [0], "text": ["a"]})
    return group


def rows(count):
    return pl.DataFrame({"id": range(count), "text": "a text that takes a while"})


def ended_early(call):
    """Whether a key press ended the call, and soon after it."""
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call()
    return time.monotonic() - began < SECONDS_MAX


def goes_on(group):
    group.insert({"id": [-1], "text": ["b"]}, wait=True)
    return -1 in set(group.read(online=True, dataframe_type="polars")["id"])


def test_an_insert_can_be_interrupted(many, interrupt_soon):
    frame = rows(6_000_000)
    interrupt_soon()
    assert ended_early(lambda: many.insert(frame))
    assert goes_on(many)


def test_a_wait_can_be_interrupted(many, interrupt_soon):
    receipt = many.insert(rows(1_000_000))
    interrupt_soon(0.1)
    assert ended_early(receipt.wait)
    receipt.wait()
    assert goes_on(many)


def test_the_end_of_a_stream_need_not_be_awaited(many, interrupt_soon):
    release = threading.Event()

    def stuck():
        release.wait(60)
        yield from ()

    query = many.insert_stream(stuck())
    interrupt_soon()
    assert ended_early(query.await_termination)
    assert query.is_active
    release.set()
    assert query.await_termination(timeout_s=60)
    assert goes_on(many)


def test_a_wait_times_out(many):
    receipt = many.insert(rows(1_000_000))
    with pytest.raises(WaitTimeoutError, match="did not finish") as caught:
        receipt.wait(timeout_s=0.0)
    assert isinstance(caught.value, TimeoutError)
    receipt.wait()
