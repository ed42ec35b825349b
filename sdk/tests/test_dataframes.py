"""Dataframes out: types that follow from the features alone, and rows that go in again."""

import sys
from datetime import date, datetime, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from twinfold import Feature
from twinfold.arrow_types import arrow_type
from twinfold.exceptions import NotAvailableError, SchemaMismatchError

BEYOND_DOUBLES = (1 << 53) + 1
VALUES = {
    "a": ("boolean", True),
    "b": ("int", -3),
    "c": ("bigint", BEYOND_DOUBLES),
    "d": ("float", 0.5),
    "e": ("double", 1e300),
    "f": ("decimal(20,3)", Decimal("-12345678901234.567")),
    "g": ("string", "ÿ✓"),
    "h": ("binary", b"\x00\xff"),
    "i": ("timestamp", datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=timezone.utc)),
    "j": ("date", date(1900, 2, 28)),
    "k": ("array<bigint>", [BEYOND_DOUBLES, None]),
    "l": ("map<string,decimal(6,2)>", {"x": Decimal("1.25"), "y": None}),
    "m": ("struct<u:bigint,v:array<string>>", {"u": BEYOND_DOUBLES, "v": ["p"]}),
    "n": ("embedding(2)", [0.25, -1.0]),
    "o": ("array<struct<p:int,q:map<string,boolean>>>", [{"p": None, "q": {"r": True}}]),
}


@pytest.fixture
def group(fs):
    features = [Feature("id", "bigint"), *(Feature(n, t) for n, (t, _) in VALUES.items())]
    return fs.create_feature_group("types", primary_key="id", features=features)


@pytest.fixture
def view(fs, group):
    return fs.create_feature_view("types", group.select_all())


def full(key):
    return {"id": key} | {name: value for name, (_, value) in VALUES.items()}


def empty(key):
    return {"id": key} | dict.fromkeys(VALUES)


def rows_of(group, **options):
    rows = group.read(dataframe_type="arrow", **options).to_pylist(maps_as_pydicts="strict")
    return sorted(rows, key=lambda row: row["id"])


def test_the_types_are_those_of_the_platform(group):
    assert {feature.name: arrow_type(feature.type) for feature in group.features} == {
        field.name: field.type for field in group._arrow_schema()
    }


@pytest.mark.parametrize("dataframe_type", ["pandas", "polars", "arrow"])
@pytest.mark.parametrize("online", [False, True])
def test_what_was_read_can_be_inserted(fs, group, dataframe_type, online):
    expected = [full(1), empty(2)]
    group.insert(expected, wait=True)
    read = group.read(online=online, dataframe_type=dataframe_type)
    copy = fs.create_feature_group("copy", primary_key="id", features=group.features)
    copy.insert(read, wait=True)
    assert rows_of(copy) == expected
    assert rows_of(copy, online=True) == expected


def test_integers_are_exact_beside_nulls(group):
    group.insert([full(1), empty(2)], wait=True)
    frame = group.read().set_index("id")
    assert frame.loc[1, "c"] == BEYOND_DOUBLES
    assert frame.loc[2, "c"] is pd.NA
    assert frame.loc[1, "a"] is np.True_
    assert list(frame.loc[1, "k"]) == [BEYOND_DOUBLES, None]


def test_records_of_pandas_can_be_inserted(group):
    group.insert([full(1), empty(2)], wait=True)
    frame = group.read()[["id", "a", "b", "c", "i"]]
    records = [row._asdict() for row in frame.itertuples(index=False)]
    assert any(row["c"] is pd.NA and row["i"] is pd.NaT for row in records)
    group.insert([row | {"id": row["id"] + 10} for row in records], wait=True)
    left_out = dict.fromkeys(VALUES.keys() - frame.columns)
    assert rows_of(group)[2:] == [full(11) | left_out, empty(12)]


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_types_follow_from_the_features_whatever_the_values(fs, group, view, kind):
    group.insert([full(1), empty(2)], wait=True)
    dataset = fs.create_training_dataset("types").save(group.select_all())
    _, in_training = view.create_training_data()
    wanted = dict(zip(*columns_of(in_training.read(dataframe_type=kind)), strict=True))
    for key in (1, 2, 3):
        for source in (view.get_feature_vector, dataset.get_serving_vector):
            vector = source({"id": key}, return_type=kind)
            assert dict(zip(*columns_of(vector), strict=True)) == wanted
    for rows in ([], [{"id": 2}]):
        vectors = view.get_feature_vectors(rows, return_type=kind)
        assert dict(zip(*columns_of(vectors), strict=True)) == wanted
    only_full = group.filter(group.id == 1).read(dataframe_type=kind)
    assert dict(zip(*columns_of(only_full), strict=True)) == wanted


def columns_of(frame):
    return list(frame.columns), list(frame.dtypes)


def test_a_matrix_of_doubles_rounds_no_integer(fs):
    group = fs.create_feature_group("numbers", primary_key="id")
    group.insert({"id": [1, 2, 3], "n": [1 << 53, BEYOND_DOUBLES, None]}, wait=True)
    view = fs.create_feature_view("numbers", group.select(["n"]))
    found = view.get_feature_vectors({"id": [1, 3]}, return_type="numpy")
    assert found[0, 0] == 1 << 53
    assert np.isnan(found[1, 0])
    with pytest.raises(SchemaMismatchError, match=f"`n`: found bigint {BEYOND_DOUBLES}") as caught:
        view.get_feature_vectors({"id": [1, 2]}, return_type="numpy")
    assert caught.value.row == 1


def test_without_pandas_the_error_says_what_to_install(weather, view, fs, monkeypatch, capsys):
    group = fs.create_feature_group("plain", primary_key="id")
    group.insert({"id": [1], "n": [2.5]}, wait=True)
    numbers = fs.create_feature_view("plain", group.select(["n"]))
    for package in ("numpy", "pandas", "polars"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotAvailableError, match=r"pip install twinfold\[pandas\]"):
        weather.read()
    with pytest.raises(NotAvailableError, match=r"pip install twinfold\[polars\]"):
        weather.read(dataframe_type="polars")
    with pytest.raises(NotAvailableError, match="pip install numpy"):
        numbers.get_feature_vector({"id": 1}, return_type="numpy")
    assert weather.read(dataframe_type="arrow").num_rows == 4
    weather.insert({"origin": ["HPN"], "hour": [datetime(2013, 1, 1)], "temp": [1.0]})
    weather.show(1)
    weather.show(1, online=True)
    weather.select_all().show(1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[::2]] == [["origin", "hour", "temp", "wind"]] * 3
