"""Rows in: what is taken, what is refused and how."""

import asyncio
import decimal
import threading
import time
from datetime import date, datetime, timezone

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from twinfold import Feature
from twinfold.exceptions import (
    InvalidDefinitionError,
    SchemaMismatchError,
    UnknownFeatureError,
    WaitTimeoutError,
)

COLUMNS = {"id": [1, 2, 3], "score": [0.5, None, 2.5], "name": ["a", "b", None]}


def scores(fs, **options):
    features = [Feature("id", "bigint"), Feature("score", "double"), Feature("name", "string")]
    return fs.create_feature_group("scores", primary_key="id", features=features, **options)


def rows_of(group, **options):
    frame = group.read(dataframe_type="arrow", **options)
    return sorted(frame.to_pylist(), key=lambda row: row[group.primary_key[0]])


@pytest.mark.parametrize(
    "make",
    [
        pd.DataFrame,
        pl.DataFrame,
        pa.table,
        lambda columns: pa.table(columns).to_reader(),
        lambda columns: duckdb.from_arrow(pa.table(columns)),
        dict,
        lambda columns: pa.table(columns).to_pylist(),
        lambda columns: pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
        lambda columns: pl.DataFrame(columns).with_columns(pl.col("name").cast(pl.Categorical)),
        lambda columns: pd.DataFrame(columns).astype({"name": "category"}),
    ],
    ids=[
        "pandas",
        "polars",
        "pyarrow",
        "reader",
        "duckdb",
        "dict",
        "rows",
        "pandas on arrow",
        "polars categories",
        "pandas categories",
    ],
)
def test_whatever_speaks_arrow_goes_in(fs, make):
    group = scores(fs)
    receipt = group.insert(make(COLUMNS), wait=True)
    assert receipt.rows == 3
    expected = pa.table(COLUMNS).to_pylist()
    assert rows_of(group) == expected
    assert rows_of(group, online=True) == expected


def test_the_first_dataframe_gives_a_group_its_features(fs, sample):
    group = fs.create_feature_group("weather", primary_key=["origin"], event_time="hour")
    assert group.state == "new"
    assert group.features == []
    group.insert(sample)
    assert group.state == "active"
    assert [(f.name, f.type, f.nullable) for f in group.features] == [
        ("origin", "string", False),
        ("hour", "timestamp", False),
        ("temp", "double", True),
        ("wind", "bigint", True),
    ]


def test_a_group_without_features_cannot_be_read_yet(fs):
    group = fs.create_feature_group("weather", primary_key=["origin"])
    with pytest.raises(LookupError, match="not created yet"):
        group.read()


def test_columns_come_in_any_order_and_nullable_ones_may_be_left_out(fs):
    group = scores(fs)
    group.insert({"name": ["a"], "id": [1]}, wait=True)
    assert rows_of(group) == [{"id": 1, "score": None, "name": "a"}]


def test_an_empty_dataframe_is_fine(fs):
    group = scores(fs)
    receipt = group.insert(pd.DataFrame(COLUMNS).head(0), wait=True)
    assert receipt.rows == 0
    assert receipt.positions == {}
    assert group.read().empty


def test_an_empty_dataframe_can_give_a_group_its_features(fs, sample):
    group = fs.create_feature_group("weather", primary_key=["origin"], event_time="hour")
    group.insert(sample.head(0), wait=True)
    assert len(group.features) == 4


@pytest.mark.parametrize(
    ("rows", "feature", "found", "wanted", "row"),
    [
        ({"score": [1.0]}, "id", None, None, None),
        ({"id": [1, None]}, "id", "null", None, 1),
        ({"id": [1, 2], "score": ["x", "y"]}, "score", "string", "double", 0),
        ({"id": [1.0]}, "id", "double", "bigint", 0),
        ({"id": ["1"]}, "id", "string", "bigint", 0),
        ({"id": [True]}, "id", "boolean", "bigint", 0),
        ({"id": [1], "name": [7]}, "name", "bigint", "string", 0),
        ({"id": [1], "score": [[1.0]]}, "score", "array<double>", "double", 0),
    ],
    ids=[
        "missing key",
        "null key",
        "text for a number",
        "float key",
        "text key",
        "boolean key",
        "number for a text",
        "list for a number",
    ],
)
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, dict])
def test_what_does_not_fit_is_refused_by_name(fs, make, rows, feature, found, wanted, row):
    group = scores(fs)
    if make is pd.DataFrame and None in rows.get("id", ()):
        rows = pd.DataFrame(rows).astype("Int64")
    with pytest.raises(SchemaMismatchError, match=f"`{feature}`") as caught:
        group.insert(make(rows))
    error = caught.value
    assert error.feature == feature
    if found is not None:
        assert found in error.found
    if wanted is not None:
        assert wanted in error.wanted
    assert error.row == row
    assert group.ingest_progress()["topic"] == {0: 0, 1: 0, 2: 0, 3: 0}


def test_an_unknown_column_is_refused_with_what_there_is(fs):
    with pytest.raises(UnknownFeatureError, match="`colour` does not exist") as caught:
        scores(fs).insert({"id": [1], "colour": ["red"]})
    assert caught.value.known == ["id", "score", "name"]


def test_the_row_is_counted_through_all_batches(fs):
    batches = [pa.table({"id": [1, 2]}), pa.table({"id": pa.array([3, None], pa.int64())})]
    with pytest.raises(SchemaMismatchError) as caught:
        scores(fs).insert(pa.concat_tables(batches))
    assert caught.value.row == 3


def test_none_of_the_rows_is_taken_when_one_is_wrong(fs):
    group = scores(fs)
    with pytest.raises(SchemaMismatchError):
        group.insert(pl.DataFrame({"id": [*range(50_000), None]}))
    group.insert({"id": [1]}, wait=True)
    assert len(group.read()) == 1


def test_pandas_columns_of_mixed_objects_are_named(fs):
    frame = pd.DataFrame({"id": [1, 2], "name": pd.Series(["a", 7], dtype=object)})
    with pytest.raises(SchemaMismatchError, match=r"`name`: found int 7, wanted .* \(row 1\)"):
        scores(fs).insert(frame)


def test_mixed_objects_in_a_new_group_are_named_too(fs):
    group = fs.create_feature_group("mixed", primary_key="id")
    with pytest.raises(SchemaMismatchError, match="wanted str as in the rows before"):
        group.insert(pd.DataFrame({"id": [1, 2], "name": pd.Series(["a", 7], dtype=object)}))


def test_a_column_without_any_value_needs_a_type(fs):
    group = fs.create_feature_group("void", primary_key="id")
    with pytest.raises(SchemaMismatchError, match="nothing"):
        group.insert({"id": [1], "nothing": [None]})
    scores(fs).insert({"id": [1], "name": [None], "score": [None]}, wait=True)


def test_a_pandas_index_with_a_name_is_a_column(fs):
    frame = pd.DataFrame({"score": [1.0, 2.0]}, index=pd.Index([7, 8], name="id"))
    group = scores(fs)
    group.insert(frame, wait=True)
    assert [row["id"] for row in rows_of(group)] == [7, 8]


def test_a_pandas_index_without_a_name_is_left_out(fs):
    frame = pd.DataFrame(COLUMNS)
    group = scores(fs)
    group.insert(frame[frame["id"] > 1], wait=True)
    assert [row["id"] for row in rows_of(group)] == [2, 3]


def test_a_pandas_index_named_like_a_column_is_refused(fs):
    frame = pd.DataFrame(COLUMNS)
    frame.index.name = "id"
    with pytest.raises(SchemaMismatchError, match="`id` is a column of the dataframe and a level"):
        scores(fs).insert(frame)


def test_column_names_must_be_strings_and_stand_once(fs):
    with pytest.raises(SchemaMismatchError, match="named 0; wanted a string"):
        scores(fs).insert(pd.DataFrame([[1, 2.0]]))
    twice = pd.DataFrame([[1, 2]], columns=["id", "id"])
    with pytest.raises(SchemaMismatchError, match="two columns"):
        scores(fs, version=2).insert(twice)


def test_names_of_new_features_must_be_valid(fs):
    group = fs.create_feature_group("cases", primary_key="id")
    with pytest.raises(InvalidDefinitionError, match="feature name `Temp` is not valid"):
        group.insert({"id": [1], "Temp": [1.0]})


@pytest.mark.parametrize(
    "thing",
    [3, "rows", [1, 2], object(), pl.LazyFrame({"id": [1]})],
    ids=lambda t: type(t).__name__,
)
def test_what_is_not_a_dataframe_is_refused(fs, thing):
    with pytest.raises(InvalidDefinitionError, match="wanted a dataframe"):
        scores(fs).insert(thing)


def test_a_float_is_no_key(fs):
    group = fs.create_feature_group("floats", primary_key="id")
    with pytest.raises(InvalidDefinitionError, match="primary key `id` has type double"):
        group.insert({"id": [1.5]})


def test_an_int_key_is_a_bigint_key_where_the_schema_says_so(fs):
    group = scores(fs)
    group.insert(pa.table({"id": pa.array([1], pa.int32()), "name": ["first"]}), wait=True)
    group.insert(pa.table({"id": pa.array([1], pa.int64()), "name": ["second"]}), wait=True)
    assert [row["name"] for row in rows_of(group, online=True)] == ["second"]


def test_a_time_without_a_zone_is_utc(fs):
    group = fs.create_feature_group("events", primary_key="id", event_time="at")
    naive = datetime(2013, 1, 1, 12)
    group.insert(pd.DataFrame({"id": [1], "at": [naive]}), wait=True)
    group.insert(pl.DataFrame({"id": [2], "at": [naive]}), wait=True)
    group.insert({"id": [3], "at": [naive]}, wait=True)
    expected = naive.replace(tzinfo=timezone.utc)
    assert [row["at"] for row in rows_of(group)] == [expected] * 3


def test_a_time_in_another_zone_is_the_same_instant(fs):
    group = fs.create_feature_group("events", primary_key="id", event_time="at")
    at = pd.Timestamp("2013-01-01T12:00", tz="America/New_York")
    group.insert(pd.DataFrame({"id": [1], "at": [at]}), wait=True)
    assert rows_of(group)[0]["at"] == datetime(2013, 1, 1, 17, tzinfo=timezone.utc)


def test_nanoseconds_are_read_where_nothing_is_lost(fs):
    group = fs.create_feature_group("events", primary_key="id", event_time="at")
    whole = pd.to_datetime(["2013-01-01T00:00:00.123456Z"]).as_unit("ns")
    group.insert(pd.DataFrame({"id": [1], "at": whole}), wait=True)
    assert rows_of(group)[0]["at"].microsecond == 123456
    split = pd.DataFrame({"id": [1, 2], "at": np.array([0, 1], dtype="datetime64[ns]")})
    with pytest.raises(SchemaMismatchError, match="`at`") as caught:
        group.insert(split)
    assert caught.value.row == 1


def test_seconds_and_milliseconds_widen(fs):
    group = fs.create_feature_group("events", primary_key="id", event_time="at")
    for unit in ("s", "ms"):
        group.insert(pa.table({"id": [1], "at": pa.array([10], pa.timestamp(unit, "UTC"))}))


def test_a_decimal_that_does_not_fit_is_refused(fs):
    features = [Feature("id", "int"), Feature("price", "decimal(6,2)")]
    group = fs.create_feature_group("prices", primary_key="id", features=features)
    group.insert({"id": [1], "price": [decimal.Decimal("1234.5")]}, wait=True)
    assert rows_of(group)[0]["price"] == decimal.Decimal("1234.50")
    for price in ("12345.67", "0.123"):
        with pytest.raises(SchemaMismatchError, match="`price`"):
            group.insert({"id": [1], "price": [decimal.Decimal(price)]})


def test_an_integer_that_does_not_fit_is_refused(fs):
    features = [Feature("id", "int"), Feature("level", "int")]
    group = fs.create_feature_group("levels", primary_key="id", features=features)
    with pytest.raises(SchemaMismatchError, match="`level`: found bigint, wanted int"):
        group.insert({"id": [1], "level": [1 << 40]})
    with pytest.raises(SchemaMismatchError):
        group.insert(
            pa.table({"id": pa.array([1], pa.int32()), "level": pa.array([1], pa.uint64())})
        )


def test_an_embedding_has_its_length(fs):
    features = [Feature("id", "bigint"), Feature("vector", "embedding(3)")]
    group = fs.create_feature_group("vectors", primary_key="id", features=features)
    group.insert({"id": [1], "vector": [[1.0, 2.0, 3.0]]}, wait=True)
    group.insert(pd.DataFrame({"id": [2], "vector": [np.array([1, 2, 3], np.float32)]}), wait=True)
    assert [row["vector"] for row in rows_of(group)] == [[1.0, 2.0, 3.0]] * 2
    with pytest.raises(SchemaMismatchError, match="`vector`") as caught:
        group.insert({"id": [3, 4], "vector": [[1.0, 2.0, 3.0], [1.0]]})
    assert caught.value.row in (1, None)


def test_nested_rows_are_kept(fs):
    features = [
        Feature("id", "bigint"),
        Feature("tags", "map<string,int>"),
        Feature("path", "array<string>"),
        Feature("seat", "struct<row:int,letter:string>"),
    ]
    group = fs.create_feature_group("nested", primary_key="id", features=features)
    rows = [
        {"id": 1, "tags": {"a": 1}, "path": ["x", None], "seat": {"row": 3, "letter": "C"}},
        {"id": 2, "tags": {}, "path": [], "seat": {"row": None, "letter": None}},
        {"id": 3, "tags": None, "path": None, "seat": None},
    ]
    group.insert(rows, wait=True)
    for online in (False, True):
        found = group.read(online=online, dataframe_type="pandas").sort_values("id")
        assert found["tags"].tolist() == [{"a": 1}, {}, None]
        assert [None if v is None else list(v) for v in found["path"]] == [["x", None], [], None]
        assert found["seat"].tolist() == [row["seat"] for row in rows]
    group.insert(pd.DataFrame(rows), wait=True)


def test_dates_widen_to_timestamps(fs):
    features = [Feature("id", "int"), Feature("at", "timestamp")]
    group = fs.create_feature_group("days", primary_key="id", event_time="at", features=features)
    group.insert({"id": [1], "at": [date(2013, 1, 2)]}, wait=True)
    assert rows_of(group)[0]["at"] == datetime(2013, 1, 2, tzinfo=timezone.utc)


def test_not_a_number_is_a_value_but_missing_in_pandas(fs):
    group = scores(fs)
    group.insert(pl.DataFrame({"id": [1], "score": [float("nan")]}), wait=True)
    group.insert(pd.DataFrame({"id": [2], "score": [float("nan")]}), wait=True)
    first, second = rows_of(group)
    assert np.isnan(first["score"])
    assert second["score"] is None


def test_defaults_fill_columns_that_are_left_out(fs):
    features = [Feature("id", "int"), Feature("level", "int", default_value=7)]
    group = fs.create_feature_group("levels", primary_key="id", features=features)
    group.insert({"id": [1]}, wait=True)
    assert rows_of(group, online=True) == [{"id": 1, "level": 7}]


def test_a_receipt_knows_its_rows(fs):
    receipt = scores(fs).insert(COLUMNS)
    assert receipt.rows == 3
    assert receipt.group == ("scores", 1)
    assert sum(end - start for start, end in receipt.positions.values()) == 3
    assert len(receipt.ingestion_id) == 36
    assert repr(receipt).startswith("Receipt(scores_1, 3 rows, ")
    receipt.wait()
    receipt.wait(online=False, timeout_s=1)


def test_how_long_to_wait_can_be_said(fs):
    group = scores(fs)
    many = pl.DataFrame({"id": range(1_000_000)})
    with pytest.raises(WaitTimeoutError, match="did not finish"):
        group.insert(many, wait=True, timeout_s=0.0)
    with pytest.raises(WaitTimeoutError, match="did not finish"):
        group.save(COLUMNS, wait=True, timeout_s=0.0)
    receipt = group.insert(COLUMNS, wait=True, timeout_s=None)
    receipt.wait(timeout_s=None)
    assert len(group.read(dataframe_type="arrow")) == 1_000_000 + 6


def test_a_group_that_is_not_online(fs):
    group = scores(fs, online_enabled=False)
    group.insert(COLUMNS, wait=True)
    assert len(group.read()) == 3
    with pytest.raises(InvalidDefinitionError, match="not online"):
        group.read(online=True)


def test_other_threads_run_while_rows_are_written(fs):
    frame = pl.DataFrame({"id": range(2_000_000), "score": 1.0, "name": "name"})
    group = scores(fs)
    longest_pause, started, done = 0.0, threading.Event(), threading.Event()

    def beat():
        nonlocal longest_pause
        last = time.monotonic()
        while not done.is_set():
            now = time.monotonic()
            longest_pause = max(longest_pause, now - last)
            last = now
            started.set()

    thread = threading.Thread(target=beat)
    thread.start()
    started.wait()
    began = time.monotonic()
    group.insert(frame)
    took = time.monotonic() - began
    done.set()
    thread.join()
    # An insert that kept the interpreter to itself would be one long pause.
    assert longest_pause < took / 2


def test_progress_is_shown_when_asked_for(fs, capsys):
    scores(fs).insert(pl.DataFrame({"id": range(10_000)}), progress=True)
    shown = capsys.readouterr().err
    assert "insert into scores_1" in shown
    assert "100%" in shown
    assert "10,000 of 10,000 rows" in shown


def test_progress_is_not_shown_without_a_terminal(fs, capsys):
    scores(fs).insert(COLUMNS)
    assert capsys.readouterr().err == ""


def test_inserting_from_a_coroutine(fs):
    group = scores(fs)

    async def main():
        await asyncio.to_thread(group.insert, COLUMNS, wait=True)

    asyncio.run(main())
    assert len(group.read()) == 3
