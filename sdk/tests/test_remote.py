"""A platform behind an address: the same objects, answers and exceptions as in this process."""

import os
import socket
import subprocess
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

import twinfold
from services import BINARY, END_S, Server
from twinfold import Feature
from twinfold.exceptions import (
    AlreadyExistsError,
    ClosedError,
    ForkError,
    InUseError,
    MissingRowError,
    NotAvailableError,
    NotFoundError,
    QuarantinedRowsError,
    SchemaMismatchError,
    StoreError,
    TooLargeError,
    UnknownFeatureError,
    WaitTimeoutError,
)


@pytest.fixture
def fs(server):
    """In place of the one in this process, so that the other fixtures work on the server."""
    with twinfold.connect(server.url) as store:
        yield store


def test_rows_go_there_and_come_back(fs, server, weather, sample):
    assert str(fs.address) == server.url
    assert server.url in repr(fs)
    newest = weather.read(online=True).set_index("origin")
    assert newest.loc["JFK", "temp"] == 11.0
    history = weather.read().sort_values(["origin", "hour"])
    wanted = sample.sort_values(["origin", "hour"])
    for column in ("origin", "hour", "temp"):
        assert history[column].tolist() == wanted[column].tolist()
    assert history["wind"].isna().tolist() == wanted["wind"].isna().tolist()
    assert len(weather.commit_details()) >= 1
    weather.commit_delete_record({"origin": ["EWR"]}).wait()
    assert sorted(weather.read(online=True)["origin"]) == ["JFK", "LGA"]


def test_a_view_is_served_and_trained_from(view, flights):
    vector = view.get_feature_vector({"flight": 1, "origin": "JFK"})
    assert vector == [1, "JFK", datetime(2013, 1, 1, 6, 30, tzinfo=timezone.utc), 11.0]
    many = view.get_feature_vectors([{"flight": 1, "origin": "HPN"}] * 3)
    assert [found[-1] for found in many] == [0.0] * 3
    with pytest.raises(MissingRowError) as caught:
        view.get_feature_vector({"flight": 1, "origin": "HPN"}, allow_missing=False)
    assert caught.value.presence == "missing"
    features, labels = view.training_data()
    assert dict(zip(features["flight"], features["temp"], strict=True)) == {1: 10.0, 2: 12.5}
    assert len(labels) == 2


def test_a_spine_is_looked_up(fs, view, flights):
    at = pd.to_datetime(["2013-01-01T07:30Z", "2013-01-01T05:00Z"])
    spine = pd.DataFrame({"flight": [1, 1], "origin": ["JFK", "JFK"], "at": at})
    found = view.get_batch_data(spine=spine)
    assert found["temp"].tolist() == [11.0, 0.0]


def test_a_dataset_is_made_read_and_proved(fs, flights, weather):
    query = flights.select_all().join(weather.select(["temp"]))
    dataset = fs.create_training_dataset("delays", label="delayed").save(query)
    assert len(dataset.read()) == 2
    assert dataset.verify().is_proved
    assert fs.get_training_dataset("delays").digest == dataset.digest
    assert dataset.get_serving_vector({"flight": 1, "origin": "JFK"})[-1] == 11.0
    with pytest.raises(NotAvailableError, match="not on this machine"):
        _ = dataset.location


def test_exceptions_are_those_of_this_process(fs, weather, view, sample):
    with pytest.raises(NotFoundError, match="did you mean `weather`") as caught:
        fs.get_feature_group("wether")
    assert caught.value.what == "feature group"
    with pytest.raises(AlreadyExistsError):
        fs.create_feature_view("delays", weather.select_all())
    with pytest.raises(InUseError):
        weather.delete()
    with pytest.raises(SchemaMismatchError) as caught:
        weather.insert(sample.assign(temp="warm"))
    assert caught.value.feature == "temp"
    with pytest.raises(UnknownFeatureError):
        weather.select(["snow"]).read()
    receipt = weather.insert(sample)
    receipt.wait()
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    receipt = weather.insert({"origin": ["JFK"], "hour": [tomorrow], "temp": [1.0], "wind": [1]})
    with pytest.raises(QuarantinedRowsError) as caught:
        receipt.wait()
    [row] = caught.value.rows
    assert row.code == "future_event_time"
    assert weather.quarantine() == [row]


def test_a_wait_ends_when_it_should(fs):
    group = fs.create_feature_group("numbers", primary_key="id")
    receipt = group.insert({"id": list(range(200_000))})
    with pytest.raises(WaitTimeoutError, match="within 0 s"):
        receipt.wait(timeout_s=0.0)
    receipt.wait()
    assert len(group.read()) == 200_000


def test_a_store_that_was_closed_says_so_and_the_server_goes_on(server):
    store = twinfold.connect(server.url)
    store.close()
    with pytest.raises(ClosedError):
        store.get_feature_groups()
    with twinfold.connect(server.url) as other:
        assert other.get_feature_groups() == []


def test_a_server_that_is_gone_is_a_failure_to_try_again(folder):
    first = Server(folder)
    store = twinfold.connect(first.url)
    group = store.create_feature_group(
        "cities", primary_key="city", features=[Feature("city", "string")]
    )
    group.insert({"city": ["Oslo"]}, wait=True)
    assert first.stop() == 0
    with pytest.raises(StoreError) as caught:
        group.insert({"city": ["Rome"]})
    assert caught.value.retry
    with pytest.raises(StoreError, match="platform"):
        twinfold.connect(first.url)

    second = Server(folder, first.port)
    assert second.url == first.url
    group.insert({"city": ["Rome"]}, wait=True)
    assert sorted(group.read()["city"]) == ["Oslo", "Rome"]
    store.close()
    assert second.stop() == 0


def test_what_is_too_large_is_refused_with_its_size(folder):
    server = Server(folder, HTTP__ROWS_BYTES_MAX=10_000)
    with twinfold.connect(server.url) as store:
        group = store.create_feature_group("numbers", primary_key="id")
        group.insert({"id": [1]}, wait=True)
        with pytest.raises(TooLargeError) as caught:
            group.insert({"id": list(range(10_000))})
        assert caught.value.bytes > caught.value.bytes_max == 10_000
        assert len(group.read()) == 1
    assert server.stop() == 0


def test_a_port_that_is_taken_is_said_before_the_folder_is_touched(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [BINARY, "up", "--folder", folder, "--address", f"127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            timeout=END_S,
        )
    assert done.returncode != 0
    assert f"127.0.0.1:{port} cannot be opened" in done.stderr
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_refused(fs):
    child = os.fork()
    if child == 0:
        try:
            fs.get_feature_groups()
        except ForkError:
            os._exit(7)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert fs.get_feature_groups() == []
