"""Commits, time travel, windows of event time."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from twinfold import Feature
from twinfold.exceptions import (
    IncompatibleEvolutionError,
    InvalidDefinitionError,
    TwinfoldError,
)


def test_commits_are_listed_newest_first(weather, sample):
    for _ in range(2):
        weather.insert(sample.head(1), wait=True)
    details = weather.commit_details()
    assert list(details) == sorted(details, reverse=True)
    assert sum(commit["rows_upserted"] for commit in details.values()) == 6
    newest, previous = list(details.values())[:2]
    assert newest["rows_upserted"] == previous["rows_upserted"] == 1
    assert newest["rows_deleted"] == 0
    assert newest["bytes"] > 0
    assert newest["committed_at"] >= previous["committed_at"]
    assert abs(datetime.now(timezone.utc) - newest["committed_at"]) < timedelta(minutes=1)
    assert sum(newest["positions"].values()) == 6
    assert len(weather.commit_details(limit=1)) == 1


def test_every_commit_is_listed_unless_fewer_are_wanted(fs, monkeypatch):
    group = fs.create_feature_group("long", primary_key="id")
    group.insert({"id": [0]}, wait=True)
    asked = []

    class Spied:
        def commits(self, name, version, limit):
            asked.append(limit)
            return platform.commits(name, version, limit)

    platform = fs._platform
    monkeypatch.setattr(fs, "_platform", Spied())
    assert len(group.commit_details()) >= 1
    assert asked.pop() is None
    for limit in (0, -1):
        with pytest.raises(InvalidDefinitionError, match=f"limit: .* found {limit}"):
            group.commit_details(limit=limit)
    assert asked == []


def test_an_earlier_commit_shows_what_was_known_then(weather, sample):
    before, committed = next(iter(weather.commit_details(limit=1).items()))
    corrected = sample.head(1).assign(temp=99.0)
    weather.insert(corrected, wait=True)
    assert 99.0 in set(weather.read()["temp"])
    assert sorted(weather.as_of(commit_id=before).read()["temp"]) == [9.5, 10.0, 11.0, 12.5]
    then = committed["committed_at"]
    assert sorted(weather.as_of(then).read()["temp"]) == [9.5, 10.0, 11.0, 12.5]
    assert sorted(weather.as_of(then.isoformat()).read()["temp"]) == [9.5, 10.0, 11.0, 12.5]


def test_changes_lie_between_two_commits(weather, sample):
    first = max(weather.commit_details())
    weather.insert(sample.head(1).assign(temp=99.0), wait=True)
    second = max(weather.commit_details())
    weather.commit_delete_record({"origin": ["JFK"]}).wait()
    assert len(weather.read_changes()) == 6
    assert len(weather.read_changes(up_to_commit=first)) == 4
    between = weather.read_changes(after_commit=first, up_to_commit=second)
    assert between["temp"].tolist() == [99.0]
    assert between["_change_type"].tolist() == ["upsert"]
    assert between["_event_time"].tolist() == between["hour"].tolist()
    (deleted,) = weather.read_changes(after_commit=second).to_dict("records")
    assert (deleted["origin"], deleted["_change_type"]) == ("JFK", "delete")
    at = weather.commit_details()[second]["committed_at"]
    assert len(weather.read_changes(after_commit=at)) == 1
    assert len(weather.read_changes(up_to_commit=at.isoformat())) == 5
    assert len(weather.read_changes(after_commit=np.int64(first), up_to_commit=at)) == 1
    assert weather.read_changes(after_commit=second, up_to_commit=first).empty


def test_a_delete_among_changes_has_its_key_alone(weather):
    weather.commit_delete_record({"origin": ["JFK"]}).wait()
    weather.append_features(Feature("humid", "double", default_value=0.5))
    changes = weather.read_changes().set_index("_change_type")
    assert pd.isna(changes.loc["delete", "humid"])
    assert set(changes.loc["upsert", "humid"]) == {0.5}


def test_the_ends_of_changes_are_commits_and_say_so(weather):
    for old in ("start_time", "end_time", "start_commit_id", "end_commit_id"):
        with pytest.raises(TypeError, match=old):
            weather.read_changes(**{old: None})
    with pytest.raises(TypeError, match="positional"):
        weather.read_changes(1)
    for end in ("after_commit", "up_to_commit"):
        for wrong in (-1, True, 1.0, "yesterday"):
            with pytest.raises(InvalidDefinitionError, match=f"{end}: wanted"):
                weather.read_changes(**{end: wrong})


def test_as_of_wants_a_time_or_a_commit(weather):
    with pytest.raises(InvalidDefinitionError, match="either a time or a commit_id"):
        weather.as_of()
    with pytest.raises(InvalidDefinitionError, match="found int 3"):
        weather.as_of(3)
    with pytest.raises(InvalidDefinitionError, match="ISO 8601"):
        weather.as_of("yesterday")


def test_a_commit_that_is_not_there_is_refused(weather):
    with pytest.raises(TwinfoldError):
        weather.as_of(commit_id=999).read()


def test_before_the_first_commit_there_is_nothing_to_read(weather):
    with pytest.raises(TwinfoldError):
        weather.as_of("2000-01-01").read()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [9.5, 10.0, 11.0, 12.5]),
        ("2013-01-01T07:00Z", None, [11.0]),
        (None, "2013-01-01T07:00Z", [9.5, 10.0, 12.5]),
        (datetime(2013, 1, 1, 7), datetime(2013, 1, 1, 8), [11.0]),
        (date(2013, 1, 2), None, []),
    ],
)
def test_a_window_of_event_time(weather, start, end, expected):
    assert sorted(weather.read(start_time=start, end_time=end)["temp"]) == expected


def test_rows_come_as_what_is_wanted(weather):
    assert type(weather.read(dataframe_type="polars")) is pl.DataFrame
    assert type(weather.read(dataframe_type="arrow")) is pa.Table
    assert str(weather.read()["hour"].dtype) == "datetime64[us, UTC]"
    with pytest.raises(InvalidDefinitionError, match="found 'numpy'"):
        weather.read(dataframe_type="numpy")


def test_online_has_no_windows(weather):
    with pytest.raises(InvalidDefinitionError, match="online=True"):
        weather.read(online=True, start_time="2013-01-01")


def test_features_are_added_in_place(fs, weather, sample):
    weather.append_features(
        [Feature("humid", "double"), Feature("sky", "string", default_value="?")]
    )
    weather.insert(sample.tail(1).assign(humid=0.5, sky="clear"), wait=True)
    online = weather.read(online=True).set_index("origin")
    assert online.loc["LGA", "sky"] == "clear"
    assert online.loc["EWR", "sky"] == "?"
    history = weather.read().set_index("origin")
    assert history.loc["LGA", "sky"] == "clear"
    assert fs.get_feature_group("weather")["humid"].type == "double"


def test_history_shows_defaults_of_later_features_too(weather):
    weather.append_features(Feature("sky", "string", default_value="?"))
    assert set(weather.read(online=True)["sky"]) == {"?"}
    assert set(weather.read()["sky"]) == {"?"}


def test_features_that_old_rows_cannot_have_need_a_new_version(weather):
    with pytest.raises(IncompatibleEvolutionError, match="create version 2") as caught:
        weather.append_features(Feature("humid", "double", nullable=False))
    assert caught.value.next_version == 2
    with pytest.raises(IncompatibleEvolutionError, match="`temp` exists already"):
        weather.append_features(Feature("temp", "int"))
    with pytest.raises(InvalidDefinitionError, match="needs a type"):
        weather.append_features(Feature("humid"))
