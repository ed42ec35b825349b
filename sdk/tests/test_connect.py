"""Opening, closing, and who may have a folder open."""

import multiprocessing
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap

import pytest

import twinfold
from twinfold.exceptions import (
    ClosedError,
    ForkError,
    InvalidDefinitionError,
    LockedError,
    NewerFormatError,
    NotAvailableError,
    NotFoundError,
)


def python(script, *arguments):
    """Runs a script in a process of its own; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("spelling", [str, pathlib.Path, lambda path: path.as_uri()])
def test_a_folder_has_three_spellings(folder, spelling):
    with twinfold.connect(spelling(folder)) as store:
        assert store.get_feature_groups() == []
        assert store.path == folder
    assert (folder / "twinfold.format").exists()


def test_spaces_in_a_url_are_read(tmp_path):
    folder = tmp_path / "my store"
    with twinfold.connect(folder.as_uri()):
        assert folder.is_dir()


def test_what_lacks_for_https_is_said():
    with pytest.raises(NotAvailableError, match="speaks no TLS; wanted http://"):
        twinfold.connect("https://features.example.com")


def test_a_folder_has_its_own_topic(folder):
    with pytest.raises(
        InvalidDefinitionError, match="topic 'kafka://here:9092' is for the address"
    ):
        twinfold.connect(folder, topic="kafka://here:9092")
    assert not folder.exists()


@pytest.mark.parametrize("url", ["s3://b/path", "file://host/path", "file://", "file:here", ""])
def test_addresses_that_make_no_sense_are_refused(url):
    with pytest.raises(InvalidDefinitionError, match="wanted a folder"):
        twinfold.connect(url)


def test_a_folder_with_files_of_others_is_refused_and_left_alone(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thesis.txt").write_text("all of it")
    with pytest.raises(InvalidDefinitionError, match="has files of others"):
        twinfold.connect(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_a_query_of_another_connection_is_refused(tmp_path):
    with twinfold.connect(tmp_path / "a") as a, twinfold.connect(tmp_path / "b") as b:
        groups = [store.create_feature_group("g", primary_key="k") for store in (a, b)]
        for group, value in zip(groups, "ab", strict=True):
            group.insert({"k": [1], "v": [value]}, wait=True)
        theirs = groups[1].select_all()
        for use in (
            a.create_training_dataset("d").save,
            groups[0].select(["v"]).join,
            lambda query: a.create_feature_view("v", query),
            lambda query: a.get_or_create_feature_view("v", query),
        ):
            with pytest.raises(InvalidDefinitionError, match=r"/b; wanted those of .*/a"):
                use(theirs)
            with pytest.raises(InvalidDefinitionError, match=r"select_all\(\); found FeatureGroup"):
                use(groups[0])


def test_everything_is_there_after_reopening(address, sample):
    with twinfold.connect(address) as store:
        group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
        group.insert(sample, wait=True)
    with twinfold.connect(address) as store:
        group = store.get_feature_group("weather")
        assert len(group.read()) == 4
        assert len(group.read(online=True)) == 3
        group.insert(sample, wait=True)
        assert len(group.read(online=True)) == 3


def test_rows_that_nobody_waited_for_arrive_after_reopening(address, sample):
    with twinfold.connect(address) as store:
        group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
        receipt = group.insert(sample)
    with pytest.raises(ClosedError):
        receipt.wait()
    with twinfold.connect(address) as store:
        group = store.get_feature_group("weather")
        group.insert(sample.tail(1), wait=True)
        assert len(group.read(online=True)) == 3


@pytest.mark.about_the_folder
def test_a_second_process_is_told_that_the_folder_is_taken(fs, folder):
    printed = python(
        """
        import sys, twinfold
        try:
            twinfold.connect(sys.argv[1])
        except twinfold.exceptions.LockedError as error:
            print(error)
        """,
        folder,
    )
    assert "in use by another process" in printed
    assert str(folder) in printed


@pytest.mark.about_the_folder
def test_the_same_process_cannot_open_a_folder_twice_either(fs, folder):
    with pytest.raises(LockedError):
        twinfold.connect(folder)


def test_a_closed_store_says_so(address, sample):
    store = twinfold.connect(address)
    group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
    group.insert(sample)
    store.close()
    store.close()
    with pytest.raises(ClosedError, match="closed"):
        group.insert(sample)
    with pytest.raises(ClosedError):
        store.get_feature_groups()
    assert repr(store).endswith("closed")


def test_a_folder_of_a_newer_version_is_refused(folder):
    twinfold.connect(folder).close()
    (folder / "twinfold.format").write_text("999\n")
    with pytest.raises(NewerFormatError, match="newer version") as caught:
        twinfold.connect(folder)
    assert caught.value.found == 999


def test_a_path_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(twinfold.exceptions.StoreError, match="platform folder"):
        twinfold.connect(path)


def test_a_process_that_forgets_to_close_ends_well_and_loses_nothing(address):
    printed = python(
        """
        import sys, twinfold
        store = twinfold.connect(sys.argv[1])
        group = store.create_feature_group("cities", primary_key="city")
        group.insert({"city": ["Oslo", "Rome"]})
        print("done")
        """,
        address,
    )
    assert printed == "done"
    with twinfold.connect(address) as store:
        cities = store.get_feature_group("cities")
        cities.insert({"city": ["Bern"]}, wait=True)
        assert sorted(cities.read()["city"]) == ["Bern", "Oslo", "Rome"]


def test_a_store_that_is_forgotten_releases_its_folder(folder):
    store = twinfold.connect(folder)
    del store
    twinfold.connect(folder).close()


def _in_a_child(answers, store, group, view):
    attempts = {
        "groups": store.get_feature_groups,
        "read": group.read,
        "insert": lambda: group.insert({"origin": ["JFK"]}),
        "vector": lambda: view.get_feature_vector({"flight": 1, "origin": "JFK"}),
        "close": store.close,
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            answers.put((name, "nothing"))
        except Exception as error:
            answers.put((name, type(error).__name__))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_refused_and_the_parent_goes_on(fs, weather, view, sample):
    view.init_serving()
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_in_a_child, args=(answers, fs, weather, view))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    found = dict(answers.get() for _ in range(5))
    assert set(found.values()) == {ForkError.__name__}, found
    weather.insert(sample, wait=True)
    assert view.get_feature_vector({"flight": 1, "origin": "JFK"})[-1] == 11.0


@pytest.mark.about_the_folder
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_may_drop_what_it_inherited(fs, folder):
    child = os.fork()
    if child == 0:
        # Ends as an interpreter does, with its finalizers, and not as a test.
        fs._finalizer()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with pytest.raises(LockedError):
        twinfold.connect(folder)


def test_exceptions_cross_processes(fs):
    with pytest.raises(NotFoundError) as caught:
        fs.get_feature_group("nothing")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is NotFoundError
    assert str(copy) == str(caught.value)
    assert copy.name == caught.value.name


def test_nothing_private_shows(fs, weather, sample):
    receipt = weather.insert(sample)
    for thing in (fs, weather, receipt, weather.select_all(), weather.temp):
        assert "_core" not in type(thing).__module__
        assert "_core" not in repr(thing)
