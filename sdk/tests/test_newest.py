"""Which row of a key is the newest: event time, then order; deletes; time to live."""

from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest

from twinfold import Feature
from twinfold.exceptions import InvalidDefinitionError, SchemaMismatchError

NOW = datetime.now(timezone.utc).replace(microsecond=0)


def ago(**span):
    return NOW - timedelta(**span)


@pytest.fixture
def levels(fs):
    features = [Feature("id", "int"), Feature("at", "timestamp"), Feature("level", "int")]
    return fs.create_feature_group("levels", primary_key="id", event_time="at", features=features)


def newest(group):
    frame = group.read(online=True)
    return dict(zip(frame["id"], frame["level"], strict=True))


def history(group):
    frame = group.read()
    at = frame["at"].map(lambda t: t.to_pydatetime())
    return sorted(zip(frame["id"], at, frame["level"], strict=True))


def test_the_greatest_event_time_wins_whatever_the_order(levels):
    at = [ago(days=2), ago(days=1), ago(days=3)]
    levels.insert({"id": [1, 1, 1], "at": at, "level": [2, 3, 1]}, wait=True)
    assert newest(levels) == {1: 3}
    assert [level for _, _, level in history(levels)] == [1, 2, 3]


def test_order_decides_between_equals_in_one_dataframe(levels):
    at = [ago(days=1)] * 3
    levels.insert({"id": [1, 1, 1], "at": at, "level": [2, 9, 4]}, wait=True)
    assert newest(levels) == {1: 4}
    assert history(levels) == [(1, ago(days=1), 4)]


def test_order_decides_between_equals_across_inserts(levels):
    for level in (2, 9, 4):
        levels.insert({"id": [1], "at": [ago(days=1)], "level": [level]})
    levels.insert({"id": [2], "at": [ago(days=1)], "level": [0]}, wait=True)
    assert newest(levels)[1] == 4


def test_a_late_row_goes_to_history_only(levels):
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [5]}, wait=True)
    levels.insert({"id": [1], "at": [ago(days=9)], "level": [1]}, wait=True)
    assert newest(levels) == {1: 5}
    assert history(levels) == [(1, ago(days=9), 1), (1, ago(days=1), 5)]


def test_without_event_time_the_last_insert_wins(fs):
    group = fs.create_feature_group("plain", primary_key="id")
    group.insert({"id": [1, 2], "level": [1, 1]}, wait=True)
    group.insert({"id": [1], "level": [2]}, wait=True)
    assert newest(group) == {1: 2, 2: 1}


def test_a_delete_hides_a_key_in_both_stores(levels):
    at = [ago(days=2)] * 2
    levels.insert({"id": [1, 2], "at": at, "level": [1, 2]}, wait=True)
    before = next(iter(levels.commit_details()))
    levels.commit_delete_record({"id": [1]}).wait()
    assert newest(levels) == {2: 2}
    assert [row[0] for row in history(levels)] == [2]
    assert sorted(levels.as_of(commit_id=before).read()["id"]) == [1, 2]
    assert next(iter(levels.commit_details().values()))["rows_deleted"] == 1


def test_a_delete_hides_what_is_not_later_than_it(levels):
    at = [ago(days=3), ago(days=1)]
    levels.insert({"id": [1, 1], "at": at, "level": [1, 2]}, wait=True)
    levels.commit_delete_record({"id": [1]}, at=ago(days=2)).wait()
    assert newest(levels) == {1: 2}
    assert history(levels) == [(1, ago(days=1), 2)]


def test_a_delete_wins_at_the_same_instant(levels):
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [1]}, wait=True)
    levels.commit_delete_record({"id": [1]}, at=ago(days=1)).wait()
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [2]}, wait=True)
    assert newest(levels) == {}
    assert history(levels) == []


def test_a_later_row_brings_a_key_back(levels):
    levels.insert({"id": [1], "at": [ago(days=3)], "level": [1]})
    levels.commit_delete_record({"id": [1]}, at=ago(days=2))
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [2]}, wait=True)
    assert newest(levels) == {1: 2}
    assert history(levels) == [(1, ago(days=1), 2)]


def test_a_delete_of_what_is_not_there_is_fine(levels):
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [1]})
    levels.commit_delete_record({"id": [77]}).wait()
    assert newest(levels) == {1: 1}


def test_a_delete_takes_whole_rows_too(levels):
    rows = pd.DataFrame({"id": [1], "at": [ago(days=1)], "level": [1]}).astype({"id": "int32"})
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [1]}, wait=True)
    levels.commit_delete_record(rows).wait()
    assert newest(levels) == {}


def test_a_delete_needs_the_key(levels):
    levels.insert({"id": [1], "at": [ago(days=1)], "level": [1]})
    with pytest.raises(SchemaMismatchError, match="`id`"):
        levels.commit_delete_record({"level": [1]})
    with pytest.raises(InvalidDefinitionError, match="at: wanted a datetime"):
        levels.commit_delete_record({"id": [1]}, at=5)


def test_rows_expire_after_their_time_to_live(fs):
    features = [Feature("id", "int"), Feature("at", "timestamp"), Feature("level", "int")]
    group = fs.create_feature_group(
        "fresh", primary_key="id", event_time="at", features=features, ttl=timedelta(hours=1)
    )
    at = [ago(hours=2), ago(minutes=1)]
    group.insert({"id": [1, 2], "at": at, "level": [1, 2]}, wait=True)
    assert group.ttl == timedelta(hours=1)
    assert newest(group) == {2: 2}
    assert len(group.read()) == 2


@pytest.mark.parametrize("ttl", [0, -1, timedelta(0), "1 day", True])
def test_a_time_to_live_is_positive(fs, ttl):
    with pytest.raises(InvalidDefinitionError, match="ttl: wanted a positive timedelta"):
        fs.create_feature_group("fresh", primary_key="id", ttl=ttl)


def test_composite_keys_keep_their_parts_apart(fs):
    group = fs.create_feature_group("pairs", primary_key=["a", "b"])
    group.insert({"a": ["x", "xy"], "b": ["yz", "z"], "level": [1, 2]}, wait=True)
    frame = group.read(online=True).sort_values("level")
    assert frame[["a", "b"]].values.tolist() == [["x", "yz"], ["xy", "z"]]
