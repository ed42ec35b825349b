"""Rows/s from a dataframe until Kafka has the rows: ours, and a bare librdkafka producer.

An embedded connection also runs the materializers, which nothing switches off: they would take
their share of the machine from ours and not from the peer. So `insert` is measured in its two
parts, one after the other as it runs them: what it does in Python, here, and the rest in the
program `insert_kafka`, which is the same Rust code without a platform around it. The whole
`insert`, with the materializers beside it, is shown too, and not compared.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pyarrow as pa
from append import table

import twinfold
from twinfold.dataframes import to_rows

ROUNDS = 3


def in_python(data: object, schema: pa.Schema) -> float:
    """Seconds until a dataframe is in the hands of Rust."""
    started = time.perf_counter()
    for _ in range(ROUNDS):
        to_rows(data, lambda: schema)
    return (time.perf_counter() - started) / ROUNDS


def in_rust(program: str, rows: int) -> tuple[float, float]:
    """Rows per second of the rest, and of the bare producer."""
    run = subprocess.run([program, str(rows)], check=True, stdout=subprocess.PIPE, text=True)
    *said, last = run.stdout.splitlines()
    print("\n".join(said))
    ours, peer = last.split(" ")
    return float(ours), float(peer)


def whole(frames: dict[str, object], rows: int) -> None:
    """Shows `insert` of an embedded connection whose log is Kafka."""
    servers = json.loads(Path(os.environ["TWINFOLD_TEST_SERVERS"]).read_text())["settings"]
    kafka = servers["kafka"]["bootstrap_servers"]
    os.environ["TWINFOLD__STORES__TOPIC"] = f"kafka://{kafka}?topic_prefix={uuid.uuid4().hex}."
    for kind, frame in frames.items():
        with tempfile.TemporaryDirectory() as folder, twinfold.connect(folder) as store:
            group = store.create_feature_group(kind, primary_key=["id"], event_time="event_time")
            # The first insert also makes topic and tables.
            group.insert(frame[:1], wait=True)
            started = time.perf_counter()
            group.insert(frame, progress=False)
            rate = rows / (time.perf_counter() - started)
            print(f"insert from {kind}, materializers beside it: {rate:,.0f} rows/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--program", required=True)
    arguments = parser.parse_args()
    rows = table(arguments.rows)
    frames = {"arrow": rows, "pandas": rows.to_pandas()}
    print(f"{rows.num_rows:,} rows of {rows.num_columns} features")
    below, peer = in_rust(arguments.program, rows.num_rows)
    ours = {}
    for kind, frame in frames.items():
        above_s = in_python(frame, rows.schema)
        ours[kind] = rows.num_rows / (above_s + rows.num_rows / below)
        print(
            f"insert from {kind}: {above_s:.3f} s in Python, {ours[kind]:,.0f} rows/s in all, "
            f"{ours[kind] / peer:.2f} of the bare producer"
        )
    whole(frames, rows.num_rows)
    # The slower one is the figure.
    kind = min(ours, key=ours.get)
    print(
        f"insert-kafka: ours {ours[kind]:,.0f} rows/s (from {kind}), peer {peer:,.0f} rows/s "
        f"(librdkafka, bytes made before), ratio {ours[kind] / peer:.2f}"
    )


if __name__ == "__main__":
    main()
