"""What only a platform behind an address can show: most other tests run on one too."""

import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import twinfold
from services import BINARY, END_S, Server
from twinfold import Feature, FeatureGroup
from twinfold.exceptions import (
    ClosedError,
    NotAvailableError,
    SchemaMismatchError,
    StoreError,
    TooLargeError,
)


@pytest.fixture
def fs(server):
    """In place of the one in this process, so that the other fixtures work on the server."""
    with twinfold.connect(server.url) as store:
        yield store


def test_a_store_says_where_it_is(fs, server):
    assert str(fs.address) == server.url
    assert server.url in repr(fs)


def test_files_are_on_the_machine_that_has_them(fs, weather):
    dataset = fs.create_training_dataset("temps").save(weather.select_all())
    with pytest.raises(NotAvailableError, match="not on this machine"):
        _ = dataset.location
    with pytest.raises(NotAvailableError, match="not on this machine"):
        _ = fs.path


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


@pytest.mark.parametrize("second", [{"id": [2], "level": [2]}, {"id": [2], "level": ["high"]}])
def test_connections_that_insert_first_make_one_group(server, monkeypatch, second):
    found_none, create = threading.Barrier(2), FeatureGroup._create

    def create_at_the_same_time(group, rows):
        found_none.wait(timeout=END_S)
        return create(group, rows)

    def insert(rows):
        with twinfold.connect(server.url) as store:
            group = store.get_or_create_feature_group("shared", primary_key="id")
            try:
                group.insert(rows, wait=True)
            except SchemaMismatchError as error:
                return error.feature

    monkeypatch.setattr(FeatureGroup, "_create", create_at_the_same_time)
    first = {"id": [1], "level": [1]}
    with ThreadPoolExecutor() as pool:
        refused = [name for name in pool.map(insert, [first, second]) if name is not None]
    with twinfold.connect(server.url) as store:
        ids = store.get_feature_group("shared").read()["id"]
    # Of two whose features differ, whoever came first decides what they are.
    of_one_type = second["level"] == [2]
    assert (refused, len(ids)) == (([], 2) if of_one_type else (["level"], 1))


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
