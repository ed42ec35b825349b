"""Feature groups: created, found, removed, shown."""

import threading

import pyarrow as pa
import pytest

from twinfold import Feature
from twinfold.exceptions import (
    AlreadyExistsError,
    InUseError,
    InvalidDefinitionError,
    NotFoundError,
    SchemaMismatchError,
    TwinfoldError,
)


def test_a_group_is_what_was_asked_for(fs):
    group = fs.create_feature_group(
        "planes",
        2,
        primary_key=["tailnum"],
        event_time="seen",
        features=[
            Feature("tailnum", "string", "registration"),
            Feature("seen", "date"),
            Feature("seats", "int", default_value=180),
            Feature("engine", "struct<kind:string,count:int>", nullable=False),
        ],
        ttl=3600,
        online_enabled=False,
        partitions=2,
        description="the fleet",
        tags={"owner": "ops"},
    )
    found = fs.get_feature_group("planes", 2)
    for seen in (group, found):
        assert (seen.name, seen.version, seen.state) == ("planes", 2, "active")
        assert seen.primary_key == ["tailnum"]
        assert seen.event_time == "seen"
        assert seen.ttl.total_seconds() == 3600
        assert seen.online_enabled is False
        assert seen.partitions == 2
        assert seen.description == "the fleet"
        assert seen.tags == {"owner": "ops"}
        assert [feature.type for feature in seen.features][-1] == "struct<kind:string,count:int>"
        assert seen["seats"].default_value == 180
        assert seen["tailnum"].description == "registration"
        assert [feature.nullable for feature in seen.features] == [False, False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "Bad Name"}, "feature group name `Bad Name` is not valid"),
        ({"version": 0}, "versions count from 1"),
        ({"primary_key": []}, "primary key"),
        ({"primary_key": ["nothing"]}, "`nothing` does not exist"),
        ({"event_time": "level"}, "wanted timestamp or date"),
        ({"features": [Feature("id", "float32")]}, "feature type `float32` is not valid"),
        ({"features": [Feature("id", "int"), Feature("id", "int")]}, "defined twice"),
        ({"features": [Feature("id")]}, "needs a type"),
        ({"features": [Feature("id", "int", default_value="x")]}, "found str 'x', wanted int"),
        ({"partitions": 0}, "partitions"),
    ],
)
def test_a_group_that_cannot_be(fs, options, message):
    asked = {
        "name": "group",
        "primary_key": ["id"],
        "features": [Feature("id", "int"), Feature("level", "double")],
    } | options
    with pytest.raises((InvalidDefinitionError, ValueError), match=message) as caught:
        fs.create_feature_group(**asked)
    assert isinstance(caught.value, TwinfoldError)
    assert fs.get_feature_groups() == []


def test_a_group_is_created_once(fs, weather):
    with pytest.raises(AlreadyExistsError, match="weather") as caught:
        fs.create_feature_group("weather", primary_key="id", features=[Feature("id", "int")])
    assert caught.value.what == "feature group"
    fs.create_feature_group("weather", 2, primary_key="id", features=[Feature("id", "int")])
    assert fs.get_feature_group("weather").version == 2
    assert fs.get_feature_group("weather", 1).primary_key == ["origin"]


def test_a_group_created_at_the_same_time_is_created_once(fs):
    outcomes = []

    def create():
        try:
            fs.create_feature_group("same", primary_key="id", features=[Feature("id", "int")])
            outcomes.append("created")
        except AlreadyExistsError:
            outcomes.append("refused")

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["created"] + ["refused"] * 7


def test_get_or_create(fs, weather, sample):
    found = fs.get_or_create_feature_group("weather", primary_key="origin", event_time="hour")
    assert found.state == "active"
    new = fs.get_or_create_feature_group("other", primary_key="origin", event_time="hour")
    for name in ("weather", "third"):
        with pytest.raises(TypeError, match="ttll"):
            fs.get_or_create_feature_group(name, primary_key="origin", event_time="hour", ttll=5)
    assert new.state == "new"
    with pytest.raises(InvalidDefinitionError, match="exists with primary key"):
        fs.get_or_create_feature_group("weather", primary_key="hour", event_time="hour")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_time": None}, "with event time hour; wanted event time None"),
        ({"ttl": 3600}, "with ttl None; wanted ttl 1:00:00"),
        ({"online_enabled": False}, "with online_enabled True; wanted online_enabled False"),
        ({"partitions": 9}, "with partitions 4; wanted partitions 9"),
        (
            {"features": [Feature("origin", "string"), Feature("gust", "double")]},
            "with other features: it has no feature `gust`",
        ),
        (
            {"features": [Feature("temp", "float")]},
            "with other features: its feature `temp` is double, wanted float",
        ),
    ],
)
def test_a_group_that_is_otherwise_than_asked_for_is_refused(fs, weather, options, message):
    asked = {"primary_key": "origin", "event_time": "hour"} | options
    with pytest.raises(InvalidDefinitionError, match=f"`weather_1` exists {message}"):
        fs.get_or_create_feature_group("weather", **asked)


def test_features_may_have_been_added_since(fs):
    asked = {"primary_key": "id", "event_time": "at"}
    features = [
        Feature("id", "int"),
        Feature("at", "timestamp"),
        Feature("place", "struct<x:double,y:double>"),
        Feature("level", "int", default_value=3),
    ]
    first = fs.get_or_create_feature_group("grown", features=features, **asked)
    first.append_features(Feature("since", "string"))
    first.update(description="it has grown")
    # In any order and with types written in another way.
    features[2] = Feature("place", "struct<x: double, y: double>")
    again = fs.get_or_create_feature_group("grown", features=features[::-1], **asked)
    assert [feature.name for feature in again.features][-1] == "since"
    assert again.description == "it has grown"
    features[3] = Feature("level", "int", default_value=4)
    with pytest.raises(InvalidDefinitionError, match="its feature `level` is int default"):
        fs.get_or_create_feature_group("grown", features=features, **asked)


def test_what_people_are_told_can_be_changed(fs, weather):
    weather.update(description="as seen from the tower", tags={"team": "sky"})
    for seen in (weather, fs.get_feature_group("weather", 1)):
        assert (seen.description, seen.tags) == ("as seen from the tower", {"team": "sky"})
        assert seen.state == "active"
    weather.update(tags={})
    again = fs.get_feature_group("weather")
    assert (again.description, again.tags) == ("as seen from the tower", {})
    with pytest.raises(NotFoundError, match="not created yet"):
        fs.create_feature_group("later", primary_key="id").update(description="none yet")
    weather.delete()
    with pytest.raises(NotFoundError):
        weather.update(description="gone")


def test_a_group_that_is_used_goes_only_by_force(fs, view, weather):
    with pytest.raises(InUseError, match="delays"):
        weather.delete()
    weather.delete(force=True)
    assert [group.name for group in fs.get_feature_groups()] == ["flights"]


def test_what_is_not_asked_for_may_be_as_it_is(fs):
    asked = {"primary_key": "id", "event_time": "at"}
    features = [Feature("id", "int"), Feature("at", "timestamp")]
    options = {"ttl": 3600, "online_enabled": False}
    fs.create_feature_group("kept", features=features, **asked, **options)
    assert fs.get_or_create_feature_group("kept", **asked).online_enabled is False
    assert fs.get_or_create_feature_group("kept", **asked, **options).ttl.total_seconds() == 3600


def test_two_new_handles_are_one_group(fs):
    asked = {"primary_key": "id", "ttl": 3600}
    first, second, other = (fs.get_or_create_feature_group("pair", **asked) for _ in range(3))
    third = fs.get_or_create_feature_group("pair", primary_key="name")
    first.insert({"id": [1], "level": [0.5]})
    second.insert({"id": [2], "level": [1]}, wait=True)
    assert sorted(second.read()["level"]) == [0.5, 1.0]
    assert second.state == "active"
    with pytest.raises(SchemaMismatchError, match="`level`: found string, wanted double"):
        other.insert({"id": [3], "level": ["high"]})
    found = r"primary key \['id'\], ttl 1:00:00; wanted primary key \['name'\], ttl None"
    with pytest.raises(InvalidDefinitionError, match=f"`pair_1` exists with {found}"):
        third.insert({"name": ["x"]})


def test_threads_that_insert_first_make_one_group(fs):
    group = fs.create_feature_group("shared", primary_key="id")
    others = [fs.get_or_create_feature_group("shared", primary_key="id") for _ in range(3)]
    failures, start = [], threading.Barrier(8)

    def insert(handle, key):
        start.wait()
        try:
            handle.insert({"id": [key]})
        except TwinfoldError as error:
            failures.append(error)

    handles = [group, *others] * 2
    threads = [threading.Thread(target=insert, args=pair[::-1]) for pair in enumerate(handles)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    group.insert({"id": [8]}, wait=True)
    assert sorted(group.read()["id"]) == list(range(9))


def runs_through(insert):
    """What the insert raised, or ``None``; a deadlock fails the test rather than stop it."""
    raised = [TimeoutError("the insert waits for itself")]

    def run():
        try:
            insert()
            raised[0] = None
        except BaseException as error:
            raised[0] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout=30)
    return raised[0]


@pytest.mark.parametrize("in_a_thread", [False, True])
@pytest.mark.parametrize("kind", ["stream", "columns"])
def test_rows_may_come_from_code_that_makes_another_group(fs, kind, in_a_thread):
    group, other = (fs.create_feature_group(name, primary_key="id") for name in ("one", "two"))

    def ids():
        if in_a_thread:
            assert runs_through(lambda: other.insert({"id": [1]})) is None
        else:
            other.insert({"id": [1]})
        yield 2

    def batches():
        for key in ids():
            yield pa.record_batch({"id": [key]})

    schema = pa.schema({"id": pa.int64()})
    made = {
        "stream": lambda: pa.RecordBatchReader.from_batches(schema, batches()),
        "columns": lambda: {"id": ids()},
    }
    assert runs_through(lambda: group.insert(made[kind](), wait=True)) is None
    assert (other.state, group.read()["id"].tolist()) == ("active", [2])


def test_rows_that_make_their_own_group_become_what_it_wants(fs):
    group, other = (fs.get_or_create_feature_group("pair", primary_key="id") for _ in range(2))

    class Row(dict):
        def get(self, name):
            if other.state == "new":
                other.insert({"id": [1], "level": [0.5]})
            return super().get(name)

    assert runs_through(lambda: group.insert([Row(id=2, level=1)], wait=True)) is None
    assert sorted(group.read()["level"]) == [0.5, 1.0]


def test_creating_what_is_there_is_refused_before_the_first_insert(fs, weather):
    with pytest.raises(AlreadyExistsError, match="`weather_1`") as caught:
        fs.create_feature_group("weather", primary_key="origin", event_time="hour")
    assert caught.value.what == "feature group"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"id": ["a", None], "at": [0, 0]}, r"`id`: found null, wanted string \(row 1\)"),
        ({"id": ["a", "b"], "at": [None, 0]}, r"`at`: found null, wanted timestamp \(row 0\)"),
        ({"id": ["a", "b"], "at": [0, 1]}, r"`at`: .* whole microseconds \(row 1\)"),
    ],
)
def test_rows_that_are_refused_leave_no_group_behind(fs, rows, message):
    group = fs.create_feature_group("guessed", primary_key="id", event_time="at")
    at = pa.array(rows["at"], pa.timestamp("ns", "UTC"))
    with pytest.raises(SchemaMismatchError, match=message):
        group.insert(pa.table(rows | {"at": at}))
    assert group.state == "new"
    assert fs.get_feature_groups() == []


def test_what_is_not_there_is_named_with_what_is(fs, weather):
    with pytest.raises(NotFoundError, match="wether` does not exist") as caught:
        fs.get_feature_group("wether")
    assert isinstance(caught.value, LookupError)
    with pytest.raises(NotFoundError):
        fs.get_feature_group("weather", 9)


def test_a_removed_group_is_gone_with_its_rows(fs, weather, sample):
    weather.delete()
    assert fs.get_feature_groups() == []
    with pytest.raises(NotFoundError):
        weather.read()
    again = fs.create_feature_group("weather", primary_key="origin", event_time="hour")
    again.insert(sample.head(1), wait=True)
    assert len(again.read()) == 1
    assert len(again.read(online=True)) == 1


def test_objects_show_themselves(fs, weather):
    assert "weather_1" in repr(fs)
    assert "1 feature group" in repr(fs)
    for thing in (fs, weather):
        assert "<table>" in thing._repr_html_()
    text = repr(weather)
    assert "primary key" in text
    assert "event time" in text


def test_html_is_escaped(fs):
    features = [Feature("id", "int", "<script>alert(1)</script>")]
    group = fs.create_feature_group("page", primary_key="id", features=features)
    assert "<script>" not in group._repr_html_()


def test_features_complete_in_a_shell(weather):
    assert {"temp", "insert"} <= set(dir(weather))
