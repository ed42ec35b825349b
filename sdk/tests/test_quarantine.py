"""Rows that cannot be applied: listed, raised by the receipt, replayed."""

import pickle
import time
from datetime import datetime, timedelta, timezone

import pytest

from twinfold.exceptions import InvalidDefinitionError, QuarantinedRowsError

FUTURE_SKEW = timedelta(minutes=5)


@pytest.fixture
def events(fs):
    group = fs.create_feature_group("events", primary_key="id", event_time="at")
    group.insert({"id": [0], "at": [datetime.now(timezone.utc)], "level": [0]}, wait=True)
    return group


def ahead(**span):
    return datetime.now(timezone.utc) + timedelta(**span)


def test_a_row_from_the_far_future_is_set_aside(fs, events):
    at = [ahead(days=1), ahead(seconds=0)]
    receipt = events.insert({"id": [1, 2], "at": at, "level": [1, 2]})
    with pytest.raises(QuarantinedRowsError, match="1 of the rows inserted") as caught:
        receipt.wait()
    [row] = caught.value.rows
    assert row.code == "future_event_time"
    assert row.reason
    assert row.group == "events"
    assert row.value
    partition, offset = map(int, row.position.split(":"))
    start, end = receipt.positions[partition]
    assert start <= offset < end
    assert events.quarantine() == [row]
    assert fs.quarantine() == [row]
    # The others are there, in both stores.
    assert sorted(events.read(online=True)["id"]) == [0, 2]
    assert sorted(events.read()["id"]) == [0, 2]
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.rows == caught.value.rows


def test_other_receipts_are_not_concerned(events):
    events.insert({"id": [1], "at": [ahead(days=1)], "level": [1]})
    events.insert({"id": [2], "at": [ahead(seconds=0)], "level": [1]}).wait()


def test_a_row_that_is_still_bad_comes_back(events):
    events.insert({"id": [1], "at": [ahead(days=1)], "level": [1]}, wait=False)
    events.insert({"id": [2], "at": [ahead(seconds=0)], "level": [1]}, wait=True)
    [before] = events.quarantine()
    receipt = events.replay()
    assert receipt.rows == 1
    with pytest.raises(QuarantinedRowsError):
        receipt.wait()
    [after] = events.quarantine()
    assert after.position != before.position
    assert after.value == before.value


def test_a_row_is_replayed_when_its_time_has_come(events):
    at = ahead(seconds=1) + FUTURE_SKEW
    with pytest.raises(QuarantinedRowsError) as caught:
        events.insert({"id": [1], "at": [at], "level": [7]}, wait=True)
    deadline = time.monotonic() + 30
    while datetime.now(timezone.utc) + FUTURE_SKEW <= at:
        assert time.monotonic() < deadline
    receipt = events.replay(caught.value.rows)
    receipt.wait()
    assert events.quarantine() == []
    assert 1 in set(events.read(online=True)["id"])
    assert 7 in set(events.read()["level"])


def test_some_rows_can_be_chosen(events):
    at = [ahead(days=1)] * 3
    receipt = events.insert({"id": [1, 2, 3], "at": at, "level": [1, 2, 3]})
    with pytest.raises(QuarantinedRowsError):
        receipt.wait()
    rows = events.quarantine()
    assert len(rows) == 3
    assert events.quarantine(limit=2) == rows[:2]
    assert events.replay(rows[:1]).rows == 1
    with pytest.raises(InvalidDefinitionError, match="at least one row"):
        events.replay([])


def test_nothing_to_replay(events):
    receipt = events.replay()
    assert receipt.rows == 0
    receipt.wait()
