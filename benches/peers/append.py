"""Rows/s from a dataframe to acknowledged records: ours, and what people write by hand.

The peer encodes row by row with fastavro and hands each record to a librdkafka producer, whose
in-process mock broker acknowledges it. Both sides start from the same Arrow table of 11 features,
about 940 bytes a row as Avro.
"""

import argparse
import io
import struct
import tempfile
import time

import fastavro
import numpy as np
import pyarrow as pa
from confluent_kafka import Producer

import twinfold

STRING_BYTES = 217
PEER_ROWS_MAX = 100_000


def table(rows: int) -> pa.Table:
    draw = np.random.default_rng(42)
    start = np.datetime64("2024-01-01T00:00:00", "us")
    columns = {
        "id": pa.array(np.arange(rows)),
        "event_time": pa.array(start + np.arange(rows), pa.timestamp("us", "UTC")),
    }
    for name in ("amount", "latitude", "longitude"):
        columns[name] = pa.array(draw.random(rows))
    for name in ("clicks", "visits"):
        columns[name] = pa.array(draw.integers(0, 1 << 20, rows, dtype=np.int32))
    letters = np.frombuffer(
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -", np.uint8
    )
    for name in ("city", "device", "campaign", "comment"):
        text = letters[draw.integers(0, 64, rows * STRING_BYTES, dtype=np.uint8)].tobytes()
        offsets = np.arange(0, rows * STRING_BYTES + 1, STRING_BYTES, dtype=np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        columns[name] = pa.Array.from_buffers(pa.utf8(), rows, buffers)
    return pa.table(columns)


def ours(rows: pa.Table) -> float:
    with tempfile.TemporaryDirectory() as folder, twinfold.connect(folder) as store:
        group = store.create_feature_group("bench", primary_key=["id"], event_time="event_time")
        # The first insert also makes topic and tables.
        group.insert(rows.slice(0, 1), wait=True)
        started = time.perf_counter()
        receipt = group.insert(rows, progress=False)
        spent = time.perf_counter() - started
        receipt.wait()
    return rows.num_rows / spent


def peer(rows: pa.Table) -> float:
    avro = {
        "int64": "long",
        "double": "double",
        "int32": "int",
        "string": "string",
        "timestamp[us, tz=UTC]": {"type": "long", "logicalType": "timestamp-micros"},
    }
    fields = [{"name": f.name, "type": ["null", avro[str(f.type)]]} for f in rows.schema]
    schema = fastavro.parse_schema({"type": "record", "name": "bench", "fields": fields})
    producer = Producer(
        {"test.mock.num.brokers": 1, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    )
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    # Rows as dicts are what a loop over a dataframe gives; making them is not counted.
    records = rows.slice(0, PEER_ROWS_MAX).to_pylist()
    started = time.perf_counter()
    for record in records:
        out = io.BytesIO()
        out.write(struct.pack(">bI", 0, 1))
        fastavro.schemaless_writer(out, schema, record)
        key = str(record["id"])
        while True:
            try:
                producer.produce("bench", out.getvalue(), key, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush()
    spent = time.perf_counter() - started
    assert not failures, failures[0]
    return len(records) / spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    rows = table(parser.parse_args().rows)
    print(
        f"{rows.num_rows:,} rows of {rows.num_columns} features; the peer takes {PEER_ROWS_MAX:,}"
    )
    theirs, mine = peer(rows), ours(rows)
    print(
        f"append: ours {mine:,.0f} rows/s, peer {theirs:,.0f} rows/s "
        f"(fastavro and confluent-kafka), ratio {mine / theirs:.1f}"
    )


if __name__ == "__main__":
    main()
