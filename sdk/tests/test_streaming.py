"""Dataframes as they come."""

import threading

import pytest

import twinfold
from twinfold.exceptions import InvalidDefinitionError, SchemaMismatchError


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


def test_closing_the_store_stops_its_streams(folder, sample):
    store = twinfold.connect(folder)
    group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
    group.insert(sample)

    def endless():
        while True:
            yield sample

    query = group.insert_stream(endless())
    store.close()
    assert query.status["state"] == "stopped"
    assert query.exception() is None


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
