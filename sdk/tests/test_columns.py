"""Columns in: what has a type keeps it, Python objects become what is wanted, nothing is cut."""

import math
from datetime import date, datetime, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from twinfold import Feature
from twinfold.exceptions import SchemaMismatchError

NOON = datetime(2013, 1, 1, 12, tzinfo=timezone.utc)
DAY = date(2013, 1, 2)
MIDNIGHT = datetime(2013, 1, 2, tzinfo=timezone.utc)


@pytest.fixture
def typed(fs):
    """A group with one feature `value` of the type asked for."""

    def create(type_name):
        features = [Feature("id", "bigint"), Feature("value", type_name)]
        return fs.create_feature_group("typed", primary_key="id", features=features)

    return create


def values_of(group):
    rows = group.read(dataframe_type="arrow").to_pylist()
    return [row["value"] for row in sorted(rows, key=lambda row: row["id"])]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("JFK", "str 'JFK'"),
        (b"JFK", "bytes b'JFK'"),
        (7, "int 7"),
        (None, "NoneType None"),
        (np.array("JFK"), "ndarray array"),
        ({"JFK": 1}, "dict {'JFK': 1}"),
    ],
    ids=["text", "bytes", "number", "nothing", "scalar of numpy", "dict"],
)
def test_a_single_value_is_no_column(weather, view, value, found):
    wanted = f"`origin`: wanted a column of values, found {found}"
    with pytest.raises(SchemaMismatchError) as caught:
        weather.commit_delete_record({"origin": value})
    assert wanted in str(caught.value)
    with pytest.raises(SchemaMismatchError) as caught:
        view.get_feature_vectors({"flight": [1], "origin": value})
    assert wanted in str(caught.value)
    assert len(weather.read()) == 4


def test_columns_may_be_whatever_has_values(typed, view):
    group = typed("double")
    numbers = {"ids": range(2), "values": (0.5 * i for i in range(2))}
    group.insert({"id": numbers["ids"], "value": numbers["values"]}, wait=True)
    group.insert({"id": pa.array([2, 3]), "value": pl.Series([1.0, 1.5])}, wait=True)
    group.insert({"id": np.arange(4, 6), "value": pd.Series([2.0, 2.5])}, wait=True)
    assert values_of(group) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    columns = {"flight": iter([1, 2]), "origin": np.array(["JFK", "EWR"])}
    assert [vector[-1] for vector in view.get_feature_vectors(columns)] == [11.0, 12.5]


@pytest.mark.parametrize("column", [np.array, pd.Series, pa.array, pl.Series])
def test_what_has_a_type_is_not_rounded(typed, column):
    group = typed("float")
    for make in (dict, pd.DataFrame):
        with pytest.raises(SchemaMismatchError, match="`value`: found double, wanted float"):
            group.insert(make({"id": [1], "value": column([0.1])}))


def test_what_has_the_type_is_taken(typed):
    group = typed("float")
    group.insert({"id": [1], "value": np.array([0.5], np.float32)}, wait=True)
    group.insert({"id": [2], "value": pl.Series([1.5], dtype=pl.Float32)}, wait=True)
    assert values_of(group) == [0.5, 1.5]


def test_a_python_float_is_rounded_to_the_size_that_is_wanted_but_not_to_infinity(typed):
    group = typed("float")
    group.insert({"id": [1, 2], "value": [0.1, math.inf]}, wait=True)
    assert values_of(group) == [np.float32(0.1), math.inf]
    with pytest.raises(SchemaMismatchError, match="`value`: found double, wanted float"):
        group.insert({"id": [3], "value": [1e300]})


def test_an_int_that_a_float_would_round_is_refused(typed):
    group = typed("double")
    group.insert({"id": [1], "value": [1 << 53]}, wait=True)
    with pytest.raises(SchemaMismatchError, match="`value`: found bigint, wanted double"):
        group.insert({"id": [1], "value": [(1 << 53) + 1]})


@pytest.mark.parametrize("values", [[DAY, NOON], [NOON, DAY]])
def test_dates_among_times_are_their_midnight(typed, values):
    group = typed("timestamp")
    group.insert({"id": [1, 2], "value": values}, wait=True)
    assert values_of(group) == [MIDNIGHT if value is DAY else NOON for value in values]


@pytest.mark.parametrize("missing", [None, math.nan, pd.NaT])
def test_missing_dates_of_pandas_are_null_times(typed, missing):
    values = pd.Series([DAY, missing, NOON], dtype=object)
    group = typed("timestamp")
    group.insert(pd.DataFrame({"id": range(3), "value": values}), wait=True)
    assert values_of(group) == [MIDNIGHT, None, NOON]


@pytest.mark.parametrize("make", [dict, pd.DataFrame])
def test_a_time_among_dates_is_not_cut(fs, typed, make):
    rows = make({"id": [1, 2, 3], "value": [DAY, None, NOON]})
    with pytest.raises(SchemaMismatchError, match=r"found datetime .*, wanted date .*\(row 2\)"):
        typed("date").insert(rows)
    with pytest.raises(SchemaMismatchError, match="`value`: found datetime"):
        fs.create_feature_group("new", primary_key="id").insert(rows)


@pytest.mark.parametrize(
    ("type_name", "value", "found"),
    [
        ("array<date>", [NOON], "timestamp"),
        ("struct<day:date>", {"day": NOON}, "timestamp"),
        ("map<string,date>", {"day": NOON}, "struct<day:timestamp>"),
        ("struct<day:date>", {"day": DAY, "night": DAY}, "field `night`"),
    ],
)
def test_what_is_inside_is_not_cut_either(typed, type_name, value, found):
    with pytest.raises(SchemaMismatchError, match="`value`") as caught:
        typed(type_name).insert({"id": [1], "value": [value]})
    assert found in caught.value.found


@pytest.mark.parametrize("make", [dict, lambda rows: pd.DataFrame(rows, dtype=object)])
def test_nanoseconds_of_timestamps_are_not_cut(fs, typed, make):
    whole, split = pd.Timestamp(1_000, tz="UTC"), pd.Timestamp(1_001, tz="UTC")
    group = typed("timestamp")
    group.insert(make({"id": [1], "value": [whole]}), wait=True)
    assert values_of(group)[0].microsecond == 1
    for target in (group, fs.create_feature_group("new", primary_key="id")):
        with pytest.raises(SchemaMismatchError, match="whole microseconds") as caught:
            target.insert(make({"id": [1, 2], "value": [whole, split]}))
        assert caught.value.row == 1


def test_columns_that_stand_twice_are_named_wherever_they_stand(typed):
    frame = pd.DataFrame([[1, 0.5, 2, 0.5]], columns=["id", "value", "id", "value"])
    with pytest.raises(SchemaMismatchError, match="`id`: the dataframe has two columns"):
        typed("double").insert(frame)


def test_not_a_number_among_texts_is_named(typed):
    with pytest.raises(SchemaMismatchError, match=r"found float nan, wanted .* \(row 1\)"):
        typed("string").insert({"id": [1, 2], "value": ["a", math.nan]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", pd.NA, 7], r"found int 7, wanted .* \(row 2\)"),
        ([pd.NaT, "a", 7], r"found int 7, wanted .* \(row 2\)"),
        ([np.array([1, 2]), "a"], r"found str 'a', wanted .* \(row 1\)"),
        (["a", np.array([1, 2])], r"found ndarray .*, wanted .* \(row 1\)"),
    ],
)
def test_odd_values_among_missing_ones_and_arrays_are_named(typed, values, message):
    frame = pd.DataFrame({"id": range(len(values)), "value": pd.Series(values, dtype=object)})
    with pytest.raises(SchemaMismatchError, match=message):
        typed("string").insert(frame)
