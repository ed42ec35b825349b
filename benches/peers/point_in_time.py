"""Seconds for a point-in-time join from Parquet to Parquet: ours and those of DuckDB and Polars.

All read the same files. Ours also orders the result and digests it, as a training dataset needs;
the peers, an ASOF join and a join_asof, write their rows in whatever order they have them.
"""

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

import duckdb
import polars as pl

FEATURES = [f"f{index}" for index in range(8)]
KEYS = 100_000


def ours(folder: Path, labels: int, rows: int) -> dict[str, float]:
    command = ["cargo", "run", "--quiet", "-p", "twinfold-benches", "--bin", "point_in_time"]
    arguments = [str(folder), str(labels), str(rows), str(KEYS)]
    finished = subprocess.run(
        [*command, "--", *arguments], check=True, capture_output=True, text=True
    )
    print(finished.stdout, end="")
    found = re.findall(r"(\w+): written as a dataset in ([\d.]+) s", finished.stdout)
    return {name: float(seconds) for name, seconds in found}


def with_duckdb(folder: Path, history: str) -> float:
    target = folder / f"duckdb_{history}.parquet"
    features = ", ".join(f"h.{name}" for name in FEATURES)
    started = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute(
            f"""
            COPY (
                SELECT l.id, l.user, l.at, {features}
                FROM read_parquet('{folder}/labels/*.parquet') l
                ASOF LEFT JOIN read_parquet('{folder}/{history}/*.parquet') h
                ON l.user = h.user AND l.at >= h.at
            ) TO '{target}' (FORMAT parquet)
            """
        )
    return time.perf_counter() - started


def with_polars(folder: Path, history: str) -> float:
    started = time.perf_counter()
    labels = pl.read_parquet(f"{folder}/labels/*.parquet", columns=["id", "user", "at"])
    rows = pl.read_parquet(f"{folder}/{history}/*.parquet", columns=["user", "at", *FEATURES])
    joined = labels.sort("at").join_asof(
        rows.sort("at"), on="at", by="user", check_sortedness=False
    )
    joined.write_parquet(folder / f"polars_{history}.parquet")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine = ours(folder, arguments.labels, arguments.rows)
        ratios = []
        for history, seconds in mine.items():
            duck, bear = with_duckdb(folder, history), with_polars(folder, history)
            print(f"{history}: ours {seconds:.2f} s, DuckDB {duck:.2f} s, Polars {bear:.2f} s")
            ratios.append((seconds, min(duck, bear)))
        # The worse of the two is the figure.
        seconds, best = max(ratios, key=lambda pair: pair[0] / pair[1])
        print(f"pit: ours {seconds:.2f} s, peer {best:.2f} s, ratio {seconds / best:.2f}")


if __name__ == "__main__":
    main()
