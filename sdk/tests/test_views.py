"""Feature views: training data and feature vectors through one definition."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from twinfold import Feature, FeatureVector
from twinfold.exceptions import (
    AlreadyExistsError,
    InUseError,
    InvalidDefinitionError,
    MissingRowError,
    NotFoundError,
    SchemaMismatchError,
)

JFK = {"flight": 1, "origin": "JFK"}


def test_a_vector_has_the_views_order_and_no_labels(view):
    vector = view.get_feature_vector(JFK)
    assert vector == [1, "JFK", datetime(2013, 1, 1, 6, 30, tzinfo=timezone.utc), 11.0]
    assert view.serving_keys == ["flight", "origin"]
    assert view.labels == ["delayed"]


def test_vectors_come_as_what_is_wanted(view):
    names = ["flight", "origin", "at", "temp"]
    assert list(view.get_feature_vector(JFK, return_type="dict")) == names
    frame = view.get_feature_vector(JFK, return_type="pandas")
    assert frame.shape == (1, 4)
    assert list(frame.columns) == names
    assert type(view.get_feature_vector(JFK, return_type="polars")) is pl.DataFrame
    assert view.get_feature_vector(JFK, return_type="numpy").shape == (4,)
    many = view.get_feature_vectors([JFK, JFK], return_type="numpy")
    assert many.shape == (2, 4)
    assert view.get_feature_vectors([]) == []
    with pytest.raises(InvalidDefinitionError, match="found 'tensor'"):
        view.get_feature_vector(JFK, return_type="tensor")


def test_numbers_are_a_matrix_with_nan_for_null(fs):
    group = fs.create_feature_group("numbers", primary_key="id")
    group.insert({"id": [1, 2], "a": [1.5, None], "b": [True, False]}, wait=True)
    view = fs.create_feature_view("numbers", group.select_all())
    found = view.get_feature_vectors({"id": [1, 2]}, return_type="numpy")
    assert found.dtype == np.float64
    assert found[0].tolist() == [1.0, 1.5, 1.0]
    assert np.isnan(found[1, 1])


def test_order_is_kept_and_keys_may_repeat(view):
    airports = ["EWR", "JFK", "LGA", "EWR"]
    found = view.get_feature_vectors([{"flight": 1, "origin": a} for a in airports])
    assert [vector[-1] for vector in found] == [12.5, 11.0, 9.5, 12.5]


def test_a_missing_row_gives_defaults_and_says_so(view):
    found = view.get_feature_vector({"flight": 1, "origin": "HPN"}, return_type="detailed")
    assert isinstance(found, FeatureVector)
    assert found.values["temp"] == 0.0
    assert [group.presence for group in found.groups] == ["present", "missing"]
    assert found.groups[0].event_time == datetime(2013, 1, 1, 6, 30, tzinfo=timezone.utc)
    assert not found.is_complete
    assert view.get_feature_vector(JFK, return_type="detailed").is_complete


def test_training_has_the_defaults_that_serving_has(view, flights):
    at = [pd.Timestamp("2013-01-01T09:00Z")]
    away = {"flight": [3], "origin": ["HPN"], "at": at, "delayed": [True]}
    flights.insert(pd.DataFrame(away), wait=True)
    served = view.get_feature_vector({"flight": 3, "origin": "HPN"}, return_type="dict")
    features, _ = view.training_data()
    kept = view.create_training_data()[1]
    assert served["temp"] == 0.0
    assert features.set_index("flight")["temp"].to_dict() == {1: 10.0, 2: 12.5, 3: 0.0}
    assert kept.read()["temp"].tolist() == features["temp"].tolist()
    assert kept.verify()
    assert kept.get_serving_vector({"flight": 3, "origin": "HPN"})[-1] == 0.0


def test_of_a_joined_row_that_is_missing_neither_side_has_the_key(fs, flights, weather):
    away = {"flight": [3], "origin": ["HPN"], "at": [pd.Timestamp("2013-01-01T09:00Z")]}
    flights.insert(pd.DataFrame(away | {"delayed": [True]}), wait=True)
    joined = weather.select(["origin", "temp"])
    query = flights.select(["flight"]).join(joined, prefix="w_")
    view = fs.create_feature_view("keys", query, defaults={"w_temp": 0.0})
    served = view.get_feature_vector({"flight": 3, "origin": "HPN"}, return_type="dict")
    trained = view.query.read().set_index("flight").loc[3]
    assert served["w_origin"] is None
    assert pd.isna(trained["w_origin"])


def test_an_entry_holds_where_the_left_row_names_another_key(view):
    served = view.get_feature_vector({"flight": 1, "origin": "EWR"}, return_type="dict")
    unknown = view.get_feature_vector({"flight": 9, "origin": "EWR"}, return_type="dict")
    assert (served["origin"], unknown["origin"]) == ("EWR", "EWR")
    assert served["temp"] == unknown["temp"]
    now = pd.Timestamp.now(tz="UTC")
    spine = pd.DataFrame({"flight": [1, 9], "origin": ["EWR", "EWR"], "at": [now, now]})
    trained = view.query.read(spine=spine).set_index("flight")
    assert trained["origin"].tolist() == ["EWR", "EWR"]


def test_a_filter_sees_the_defaults_of_the_view(fs, flights, weather):
    away = {"flight": [3], "origin": ["HPN"], "at": [pd.Timestamp("2013-01-01T09:00Z")]}
    flights.insert(pd.DataFrame(away | {"delayed": [True]}), wait=True)
    query = flights.select(["flight"]).join(weather.select(["temp"])).filter(weather["temp"] < 5.0)
    view = fs.create_feature_view("cold", query, defaults={"temp": 0.0})
    assert view.query.read().empty
    features, _ = view.training_data()
    assert features["flight"].tolist() == [3]


def test_asked_strictly_a_missing_row_raises(view):
    with pytest.raises(MissingRowError, match="weather_1") as caught:
        view.get_feature_vector({"flight": 1, "origin": "HPN"}, allow_missing=False)
    assert caught.value.presence == "missing"
    assert "HPN" in caught.value.key
    assert view.get_feature_vector(JFK, allow_missing=False)[-1] == 11.0


def test_an_expired_row_says_so(fs):
    group = fs.create_feature_group("fresh", primary_key="id", event_time="at", ttl=3600)
    now = datetime.now(timezone.utc)
    at = [now - timedelta(hours=2), now]
    group.insert({"id": [1, 2], "at": at, "level": [1.0, 2.0]}, wait=True)
    view = fs.create_feature_view("fresh", group.select(["level"]), defaults={"level": -1.0})
    found = view.get_feature_vectors({"id": [1, 2, 3]}, return_type="detailed")
    assert [v.groups[0].presence for v in found] == ["expired", "present", "missing"]
    assert [v.values["level"] for v in found] == [-1.0, 2.0, -1.0]
    with pytest.raises(MissingRowError) as caught:
        view.get_feature_vector({"id": 1}, allow_missing=False)
    assert caught.value.presence == "expired"


def test_a_null_feature_is_present(fs):
    group = fs.create_feature_group("nulls", primary_key="id")
    group.insert({"id": [1, 2], "level": [None, 2.0]}, wait=True)
    view = fs.create_feature_view("nulls", group.select(["level"]), defaults={"level": -1.0})
    found = view.get_feature_vector({"id": 1}, return_type="detailed")
    assert found.values == {"level": None}
    assert found.groups[0].presence == "present"


def test_passed_features_replace_stored_ones(view):
    assert view.get_feature_vector(JFK, passed_features={"temp": 40})[-1] == 40.0
    found = view.get_feature_vectors([JFK, JFK], passed_features=[{"temp": 1.0}, {}])
    assert [vector[-1] for vector in found] == [1.0, 11.0]
    with pytest.raises(InvalidDefinitionError, match="one per entry"):
        view.get_feature_vectors([JFK, JFK], passed_features=[{"temp": 1.0}])
    with pytest.raises(SchemaMismatchError, match="`temp`: found str 'warm', wanted double"):
        view.get_feature_vector(JFK, passed_features={"temp": "warm"})
    with pytest.raises(ValueError, match="rain"):
        view.get_feature_vector(JFK, passed_features={"rain": 1.0})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"flight": 1}, "`origin`"),
        ({"flight": None, "origin": "JFK"}, "`flight`"),
        ({"flight": 1.5, "origin": "JFK"}, "found float 1.5, wanted bigint"),
        ({"flight": 1, "origin": 7}, "found int 7, wanted string"),
        ({"flight": True, "origin": "JFK"}, "found bool True, wanted bigint"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(view, entry, message):
    with pytest.raises(SchemaMismatchError, match=message):
        view.get_feature_vector(entry)


def test_scalars_of_numpy_and_pandas_are_keys(view):
    entry = {"flight": np.int64(1), "origin": np.str_("JFK")}
    assert view.get_feature_vector(entry) == view.get_feature_vector(JFK)
    row = pd.Series({"flight": 1, "origin": "JFK"})
    assert view.get_feature_vector(row.to_dict()) == view.get_feature_vector(JFK)


def test_values_of_every_type_cross_the_border(fs):
    values = {
        "a": ("boolean", True),
        "b": ("int", -3),
        "c": ("bigint", 1 << 40),
        "d": ("float", 0.5),
        "e": ("double", 1e300),
        "f": ("decimal(20,3)", Decimal("-12345678901234.567")),
        "g": ("string", "ÿ✓"),
        "h": ("binary", b"\x00\xff"),
        "i": ("timestamp", datetime(1969, 7, 20, 20, 17, 40, 123456, tzinfo=timezone.utc)),
        "j": ("date", datetime(1900, 2, 28).date()),
        "k": ("array<bigint>", [1, None, 3]),
        "l": ("map<string,double>", {"x": 1.0, "y": None}),
        "m": ("struct<u:int,v:array<string>>", {"u": 1, "v": ["p"]}),
        "n": ("embedding(2)", [0.25, -1.0]),
    }
    features = [Feature("id", "string")] + [Feature(n, t) for n, (t, _) in values.items()]
    group = fs.create_feature_group("types", primary_key="id", features=features)
    row = {"id": "x"} | {name: value for name, (_, value) in values.items()}
    group.insert([row], wait=True)
    view = fs.create_feature_view("types", group.select_except(["id"]))
    found = view.get_feature_vector({"id": "x"}, return_type="dict")
    assert found == {name: value for name, (_, value) in values.items()}
    passed = view.get_feature_vector({"id": "none"}, passed_features=found)
    assert passed == list(found.values())
    array = view.get_feature_vector({"id": "x"}, return_type="numpy")
    assert array[-1].dtype == np.float32


@pytest.mark.parametrize(
    ("type_name", "key"),
    [
        ("int", 7),
        ("bigint", -(1 << 60)),
        ("string", "näme"),
        ("boolean", True),
        ("binary", b"\x01"),
        ("date", datetime(2024, 2, 29).date()),
        ("timestamp", datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=timezone.utc)),
    ],
)
def test_keys_of_every_type(fs, type_name, key):
    features = [Feature("id", type_name), Feature("level", "int")]
    group = fs.create_feature_group("keys", primary_key="id", features=features)
    group.insert({"id": [key], "level": [1]}, wait=True)
    view = fs.create_feature_view("keys", group.select_all())
    assert view.get_feature_vector({"id": key}, allow_missing=False) == [key, 1]


def test_training_data_is_kept_by_version(view, weather, sample):
    version, dataset = view.create_training_data(description="first")
    assert version == 1
    assert dataset.verify()
    features, labels = view.get_training_data(1)
    assert list(features.columns) == ["flight", "origin", "at", "temp"]
    assert list(labels.columns) == ["delayed"]
    weather.insert(sample.assign(temp=99.0), wait=True)
    assert view.create_training_data()[0] == 2
    assert sorted(view.get_training_data(1)[0]["temp"]) == [10.0, 12.5]
    assert sorted(view.get_training_data(2)[0]["temp"]) == [99.0, 99.0]


def test_train_test_split(fs):
    group = fs.create_feature_group("many", primary_key="id")
    group.insert({"id": range(500), "level": [i % 7 for i in range(500)]}, wait=True)
    view = fs.create_feature_view("many", group.select_all(), labels=["level"])
    x_train, x_test, y_train, y_test = view.train_test_split(test_size=0.3, seed=1)
    assert len(x_train) == len(y_train)
    assert len(x_train) + len(x_test) == 500
    assert 100 < len(x_test) < 200
    assert list(y_test.columns) == ["level"]
    parts = view.train_validation_test_split(validation_size=0.2, test_size=0.2, seed=1)
    assert len(parts) == 6
    assert sum(len(part) for part in parts[:3]) == 500


def test_splits_are_created_and_found_by_version(fs):
    group = fs.create_feature_group("many", primary_key="id")
    group.insert({"id": range(500), "level": [i % 7 for i in range(500)]}, wait=True)
    view = fs.create_feature_view("many", group.select_all(), labels="level")
    assert view.labels == ["level"]
    version, dataset = view.create_train_test_split(test_size=0.3, seed=1, description="two")
    assert (version, dataset.version, dataset.description) == (1, 1, "two")
    x_train, x_test, y_train, y_test = view.get_train_test_split(training_dataset_version=1)
    assert dataset.rows == {"train": len(x_train), "test": len(x_test)}
    assert (len(y_train), len(y_test)) == (len(x_train), len(x_test))
    assert len(view.get_training_data(training_dataset_version=1)[0]) == 500
    version, dataset = view.create_train_validation_test_split(
        validation_size=0.2, test_size=0.2, data_format="csv"
    )
    assert version == 2
    parts = view.get_train_validation_test_split(2, dataframe_type="arrow")
    sizes = [dataset.rows[split] for split in ("train", "validation", "test")]
    assert [part.num_rows for part in parts] == sizes * 2
    assert sum(sizes) == 500
    assert [part.column_names for part in parts] == [["id"]] * 3 + [["level"]] * 3
    # What was split in one step is found afterwards.
    x_train, *_ = view.train_test_split(test_size=0.5)
    assert view.get_training_dataset().version == 3
    assert view.get_training_dataset().rows["train"] == len(x_train)


@pytest.fixture
def made_again(fs, flights, weather, view):
    """A view of the same name as one that was trained with, but not the same view."""
    view.create_training_data()
    view.delete()
    query = weather.select(["temp", "wind"]).join(flights.select(["delayed"]), left_on="wind")
    return fs.create_feature_view("delays", query, labels=["temp"])


def test_training_data_keeps_its_labels(made_again):
    features, labels = made_again.get_training_data(1)
    assert list(features.columns) == ["flight", "origin", "at", "temp"]
    assert list(labels.columns) == ["delayed"]


def test_vectors_are_served_as_a_dataset_has_them(made_again):
    made_again.init_serving(training_dataset_version=1)
    assert made_again.serving_keys == ["flight", "origin"]
    names = list(made_again.get_feature_vector(JFK, return_type="dict"))
    assert names == ["flight", "origin", "at", "temp"]
    with pytest.raises(NotFoundError):
        made_again.init_serving(9)
    assert made_again.init_serving() is made_again
    assert made_again.serving_keys == ["origin", "wind"]


def test_vectors_of_a_dataset_have_the_defaults_it_was_made_with(made_again):
    made_again.init_serving(training_dataset_version=1)
    assert made_again.get_feature_vector({"flight": 1, "origin": "HPN"})[-1] == 0.0


def test_batch_data(view):
    assert list(view.get_batch_data().columns) == ["flight", "origin", "at", "temp"]
    spine = pd.DataFrame(
        {"flight": [9], "origin": ["EWR"], "at": [pd.Timestamp("2013-02-01T00:00Z")]}
    )
    found = view.get_batch_data(spine=spine)
    assert found["temp"].tolist() == [12.5]
    polars = view.get_batch_data(dataframe_type="polars")
    assert polars.columns == ["flight", "origin", "at", "temp"]


def test_views_are_found_and_removed(fs, view, flights):
    assert fs.get_feature_view("delays").version == 1
    assert fs.get_or_create_feature_view("delays", view.query).labels == ["delayed"]
    with pytest.raises(InvalidDefinitionError, match=r"delays_1` exists with columns .*temp"):
        fs.get_or_create_feature_view("delays", flights.select_all())
    with pytest.raises(AlreadyExistsError):
        fs.create_feature_view("delays", flights.select_all())
    second = fs.create_feature_view("delays", flights.select_all(), 2)
    assert fs.get_feature_view("delays").version == 2
    assert [v.version for v in fs.get_feature_views()] == [1, 2]
    second.delete()
    assert fs.get_feature_view("delays").version == 1
    with pytest.raises(NotFoundError, match="nothing"):
        fs.get_feature_view("nothing")


def test_a_view_that_cannot_be(fs, flights, weather):
    query = flights.select_all().join(weather.select(["temp"]))
    with pytest.raises(ValueError, match="rain"):
        fs.create_feature_view("v", query, labels=["rain"])
    with pytest.raises(InvalidDefinitionError, match="`rain` is not in the query"):
        fs.create_feature_view("v", query, defaults={"rain": 1.0})
    with pytest.raises(SchemaMismatchError, match="`temp`: found str"):
        fs.create_feature_view("v", query, defaults={"temp": "warm"})
    with pytest.raises(InvalidDefinitionError, match="every column is a label"):
        fs.create_feature_view("v", flights.select(["delayed"]), labels=["delayed"])


def test_a_group_that_a_view_needs_cannot_be_removed(fs, view, weather):
    with pytest.raises(InUseError, match="weather"):
        weather.delete()
    view.delete()
    weather.delete()
    assert [group.name for group in fs.get_feature_groups()] == ["flights"]


def test_a_view_comes_back_as_it_was(fs, flights, weather):
    query = (
        flights.select(["flight", "delayed"])
        .join(weather.select(["temp"]), prefix="w_", join_type="inner")
        .filter((weather.temp > 1.0) & ~flights.flight.isin([7, 8]))
    )
    view = fs.create_feature_view("round", query, labels=["delayed"], description="there and back")
    again = fs.get_feature_view("round")
    assert repr(again.query) == repr(query)
    assert again.description == "there and back"
    assert again.training_data()[0].shape == (2, 2)
    assert repr(view) == repr(again)


def test_vectors_follow_new_rows(view, weather):
    weather.insert(
        {"origin": ["JFK"], "hour": [pd.Timestamp("2013-01-01T08:00Z")], "temp": [20.0]}, wait=True
    )
    assert view.get_feature_vector(JFK)[-1] == 20.0
