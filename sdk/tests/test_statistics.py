"""What is known of a training dataset's columns, beside what pandas says of its rows."""

from decimal import Decimal

import pandas as pd
import pytest

import twinfold
from twinfold import Feature
from twinfold.exceptions import InvalidDefinitionError, NotFoundError


@pytest.fixture
def readings(fs):
    """A group with a column of most types, and nulls in them."""
    group = fs.create_feature_group(
        "readings",
        primary_key="id",
        event_time="at",
        features=[
            Feature("id", "bigint"),
            Feature("at", "timestamp"),
            Feature("level", "double"),
            Feature("height", "float"),
            Feature("steps", "int"),
            Feature("price", "decimal(12,3)"),
            Feature("place", "string"),
            Feature("is_late", "boolean"),
            Feature("notes", "array<string>"),
        ],
    )
    count = 500
    rows = [
        {
            "id": i,
            "at": pd.Timestamp("2013-01-01", tz="UTC") + pd.Timedelta(minutes=i),
            "level": None if i % 10 == 0 else 1e6 + (i * 37 % 101) / 7,
            "height": i / 4,
            "steps": None if i % 3 == 0 else i - 250,
            "price": Decimal(i * 7 % 13) / 8,
            "place": ["Oslo", "São Paulo", None][i % 3],
            "is_late": i % 2 == 0,
            "notes": None if i < 5 else ["fine"],
        }
        for i in range(count)
    ]
    group.insert(rows, wait=True)
    return group


def assert_described(statistics, frame):
    """What pandas says of numbers, times and texts is what the statistics say."""
    assert statistics.rows == len(frame)
    assert list(statistics.columns) == list(frame.columns)
    for name, column in statistics.columns.items():
        values = frame[name]
        assert column.name == name
        assert column.nulls == values.isna().sum()
        assert (column.nans, column.infinities) == (0, 0)
    for name in ["id", "level", "height", "steps"]:
        column, described = statistics.columns[name], frame[name].astype("float64").describe()
        assert statistics.rows - column.nulls == described["count"]
        assert (column.min, column.max) == (described["min"], described["max"])
        assert column.mean == pytest.approx(described["mean"], rel=1e-12, abs=1e-9)
        assert column.standard_deviation == pytest.approx(described["std"], rel=1e-9)
    prices = statistics.columns["price"]
    assert (prices.min, prices.max) == (frame["price"].min(), frame["price"].max())
    assert prices.mean == pytest.approx(float(sum(frame["price"])) / len(frame))
    at = statistics.columns["at"]
    assert (at.min, at.max) == (frame["at"].min(), frame["at"].max())
    assert at.mean is None
    places = statistics.columns["place"]
    assert places.distinct_values == frame["place"].nunique()
    lengths = frame["place"].dropna().str.len()
    assert (places.length_min, places.length_max) == (lengths.min(), lengths.max())
    assert statistics.columns["is_late"].distinct_values == frame["is_late"].nunique()


@pytest.mark.parametrize("data_format", ["parquet", "csv"])
def test_statistics_are_those_of_pandas(fs, readings, data_format):
    # A nested column has no form in CSV.
    query = readings.select_except(["notes"])
    dataset = fs.create_training_dataset("levels", data_format=data_format).save(query)
    statistics = dataset.get_statistics()
    assert_described(statistics, dataset.read())
    assert dataset.get_statistics("all") == statistics


def test_every_split_has_its_own(fs, readings):
    splits = {"train": 0.7, "validation": 0.1, "test": 0.2}
    dataset = fs.create_training_dataset("levels", splits=splits, seed=3)
    dataset.save(readings.select_all())
    assert_described(dataset.get_statistics(), dataset.read())
    for split in splits:
        assert_described(dataset.get_statistics(split), dataset.read(split))
    with pytest.raises(InvalidDefinitionError, match="has no split `tset`; it has"):
        dataset.get_statistics("tset")


def test_what_is_not_finite_is_counted_on_its_own(fs):
    group = fs.create_feature_group(
        "odd", primary_key="id", features=[Feature("id", "int"), Feature("level", "double")]
    )
    levels = [1.0, float("nan"), float("inf"), float("-inf"), 3.0, None]
    group.insert([{"id": i, "level": level} for i, level in enumerate(levels)], wait=True)
    dataset = fs.create_training_dataset("odd").save(group.select_all())
    level = dataset.get_statistics().columns["level"]
    assert (level.nulls, level.nans, level.infinities) == (1, 1, 2)
    assert (level.min, level.max, level.mean) == (1.0, 3.0, 2.0)
    assert level.standard_deviation == pytest.approx(2**0.5)


def test_the_same_digest_has_the_same_statistics(fs, readings):
    def made(name):
        dataset = fs.create_training_dataset(name, splits={"train": 0.5, "test": 0.5}, seed=1)
        return dataset.save(readings.select_all())

    one, other = made("one"), made("other")
    assert one.digest == other.digest
    for split in [None, "train", "test"]:
        assert one.get_statistics(split) == other.get_statistics(split)


def test_statistics_survive_reopening_and_go_with_their_dataset(address, sample):
    with twinfold.connect(address) as store:
        group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
        group.insert(sample, wait=True)
        dataset = store.create_training_dataset("temps").save(group.select_all())
        statistics = dataset.get_statistics()
    with twinfold.connect(address) as store:
        dataset = store.get_training_dataset("temps")
        assert dataset.get_statistics() == statistics
        dataset.delete()
        with pytest.raises(NotFoundError, match="training dataset"):
            dataset.get_statistics()


def test_an_empty_dataset_has_statistics_too(fs, readings):
    dataset = fs.create_training_dataset("none").save(readings.filter(readings.level < 0))
    statistics = dataset.get_statistics()
    assert statistics.rows == 0
    level = statistics.columns["level"]
    assert (level.min, level.mean, level.standard_deviation) == (None, None, None)
    assert statistics.columns["place"].distinct_values == 0


def test_a_view_has_those_of_its_training_data(view):
    version, dataset = view.create_train_test_split(test_size=0.5, seed=3)
    assert view.get_training_dataset_statistics(version) == dataset.get_statistics()
    of_test = view.get_training_dataset_statistics(version, split="test")
    assert of_test.rows == dataset.rows["test"]


def test_statistics_show_themselves(fs, readings):
    dataset = fs.create_training_dataset("levels").save(readings.select_all())
    statistics = dataset.get_statistics()
    frame = statistics.to_pandas()
    assert list(frame.index) == list(dataset.features)
    assert frame.loc["steps", "nulls"] == 167
    assert frame.loc["place", "distinct_values"] == 2
    assert pd.isna(frame.loc["level", "distinct_values"])
    assert pd.isna(frame.loc["place", "mean"])
    assert str(frame["mean"].dtype) == "float64"
    assert str(frame["length_min"].dtype) == "Int64"
    assert "DatasetStatistics: 500 rows" in repr(statistics)
    assert "standard deviation" in statistics._repr_html_()
