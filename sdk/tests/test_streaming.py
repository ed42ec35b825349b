"""Dataframes as they come."""

import sys
import threading
import time

import pytest

import twinfold
from twinfold.exceptions import InvalidDefinitionError, SchemaMismatchError
from twinfold.streaming import StreamingQuery, stop_all


def test_an_iterator_is_inserted_to_its_end(weather, sample):
    query = weather.insert_stream((sample for _ in range(5)), query_name="five")
    assert query.await_termination(timeout_s=60)
    assert query.name == "five"
    assert query.status == {"state": "finished", "batches": 5, "rows": 20}
    assert not query.is_active
    assert query.exception() is None
    assert query.last_progress["rows"] == 4
    assert query.last_progress["batch"] == 5
    query.last_receipt.wait()
    assert "20 rows in 5 dataframes" in repr(query)


def test_an_async_iterator_is_inserted_too(weather, sample):
    async def frames():
        for _ in range(3):
            yield sample

    query = weather.insert_stream(frames())
    assert query.await_termination(timeout_s=60)
    assert query.status["rows"] == 12


def test_a_failing_iterator_ends_the_query(weather, sample):
    def frames():
        yield sample
        raise OSError("the source is gone")

    query = weather.insert_stream(frames())
    with pytest.raises(OSError, match="the source is gone"):
        query.await_termination(timeout_s=60)
    assert query.status == {"state": "failed", "batches": 1, "rows": 4}
    assert isinstance(query.exception(), OSError)


def test_a_bad_dataframe_ends_the_query(weather, sample):
    query = weather.insert_stream([sample, sample.assign(temp="warm"), sample])
    with pytest.raises(SchemaMismatchError, match="`temp`"):
        query.await_termination(timeout_s=60)
    assert query.status["batches"] == 1


def test_a_query_can_be_stopped(weather, sample):
    started = threading.Event()

    def endless():
        while True:
            yield sample
            started.set()

    query = weather.insert_stream(endless())
    assert started.wait(60)
    assert query.is_active
    assert not query.await_termination(timeout_s=0)
    assert query.stop()
    assert query.status["state"] == "stopped"
    rows = query.status["rows"]
    query.last_receipt.wait()
    assert rows == query.status["rows"]
    assert query.await_termination()


def test_closing_the_store_stops_its_streams(address, sample):
    store = twinfold.connect(address)
    group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
    group.insert(sample)

    def endless():
        while True:
            yield sample

    query = group.insert_stream(endless())
    store.close()
    assert query.status["state"] == "stopped"
    assert query.exception() is None


def test_closing_the_store_asks_all_streams_before_it_waits(address, sample):
    store = twinfold.connect(address)
    group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
    group.insert(sample)
    waiting = threading.Barrier(3)

    def frames():
        yield sample
        waiting.wait(30)
        # Goes on when each of the two was asked to stop.
        for query in queries:
            assert query._stop_asked.wait(30)
        yield sample

    queries = []
    queries.extend(group.insert_stream(frames()) for _ in range(2))
    waiting.wait(30)
    store.close()
    assert [query.status["state"] for query in queries] == ["stopped"] * 2


def test_streams_share_one_deadline(weather):
    release = threading.Event()

    def stuck():
        release.wait(60)
        yield from ()

    queries = [weather.insert_stream(stuck()) for _ in range(5)]
    began = time.monotonic()
    stop_all(queries, timeout_s=0.5)
    assert time.monotonic() - began < 1.5
    assert all(query.is_active for query in queries)
    assert {query.status["state"] for query in queries} == {"stopping"}
    release.set()
    assert all(query.stop() for query in queries)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_stream_may_end_at_any_step_of_its_stop(weather, step):
    release = threading.Event()
    steps = 0

    def stuck():
        release.wait(60)
        yield from ()

    def trace(frame, event, _):
        nonlocal steps
        if frame.f_code is not StreamingQuery.stop.__code__:
            return None
        steps += event == "line"
        if steps == step:
            release.set()
            query._thread.join(60)
        return trace

    query = weather.insert_stream(stuck())
    sys.settrace(trace)
    try:
        query.stop(timeout_s=0.0)
    finally:
        sys.settrace(None)
        release.set()
    assert query.await_termination(timeout_s=60)
    assert not query.is_active
    assert query.status["state"] in ("finished", "stopped")


def test_a_stream_gives_a_new_group_its_features(fs, sample):
    group = fs.create_feature_group("weather", primary_key="origin", event_time="hour")
    query = group.insert_stream([sample])
    query.await_termination(timeout_s=60)
    assert len(group.features) == 4


def test_a_single_dataframe_is_no_stream(weather, sample):
    with pytest.raises(InvalidDefinitionError, match="goes to insert"):
        weather.insert_stream(sample)
    with pytest.raises(InvalidDefinitionError, match="found int"):
        weather.insert_stream(3)
