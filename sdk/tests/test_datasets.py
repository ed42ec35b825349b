"""Training datasets: immutable, pinned, provable."""

import pandas as pd
import pytest

import twinfold
from twinfold.exceptions import (
    InvalidDefinitionError,
    NotFoundError,
    StoreError,
    TwinfoldError,
)


@pytest.fixture
def query(flights, weather):
    return flights.select_all().join(weather.select(["temp"]))


@pytest.fixture
def many(fs):
    """A group of a thousand rows."""
    group = fs.create_feature_group("many", primary_key="id", event_time="at")
    at = pd.date_range("2013-01-01", periods=1000, freq="min", tz="UTC")
    group.insert({"id": range(1000), "at": at, "level": [float(i) for i in range(1000)]}, wait=True)
    return group


@pytest.mark.parametrize("data_format", ["parquet", "csv"])
def test_a_dataset_is_kept_and_proved(fs, query, data_format):
    dataset = fs.create_training_dataset("delays", data_format=data_format, label=["delayed"])
    dataset.save(query)
    assert dataset.version == 1
    assert dataset.data_format == data_format
    assert dataset.features == {
        "flight": "bigint",
        "origin": "string",
        "at": "timestamp",
        "delayed": "boolean",
        "temp": "double",
    }
    assert sum(dataset.rows.values()) == 2
    frame = dataset.read().sort_values("flight")
    assert frame["temp"].tolist() == [10.0, 12.5]
    assert frame["delayed"].tolist() == [False, True]
    assert str(frame["at"].dtype) == "datetime64[us, UTC]"
    check = dataset.verify()
    assert check.is_proved, check


@pytest.mark.about_the_folder
@pytest.mark.parametrize("data_format", ["parquet", "csv"])
def test_a_dataset_is_files_and_leaves_none(fs, query, data_format):
    dataset = fs.create_training_dataset("delays", data_format=data_format).save(query)
    location = dataset.location
    assert any(path.suffix == f".{data_format}" for path in location.rglob("*"))
    dataset.delete()
    assert not location.exists()


def test_formats_share_a_digest(fs, query):
    one = fs.create_training_dataset("one").save(query)
    other = fs.create_training_dataset("other", data_format="csv").save(query)
    assert one.digest == other.digest
    assert len(one.digest) == 64


def test_a_dataset_stays_what_it_is(fs, query, weather, sample):
    dataset = fs.create_training_dataset("delays").save(query)
    pins = {pin.group.name: pin.commit_id for pin in dataset.pins}
    assert set(pins) == {"flights", "weather"}
    weather.insert(sample.assign(temp=99.0), wait=True)
    assert sorted(dataset.read()["temp"]) == [10.0, 12.5]
    assert dataset.verify()
    again = fs.create_training_dataset("delays").save(query)
    assert again.version == 2
    assert again.digest != dataset.digest
    assert fs.get_training_dataset("delays", 1).digest == dataset.digest
    assert fs.get_training_dataset("delays").version == 2


def test_a_dataset_survives_reopening(address, sample):
    with twinfold.connect(address) as store:
        group = store.create_feature_group("weather", primary_key="origin", event_time="hour")
        group.insert(sample, wait=True)
        dataset = store.create_training_dataset("temps", splits={"train": 0.5, "test": 0.5}, seed=3)
        digest = dataset.save(group.select_all()).digest
    with twinfold.connect(address) as store:
        dataset = store.get_training_dataset("temps")
        assert dataset.digest == digest
        assert dataset.verify()
        assert dataset.seed == 3
        assert len(dataset.read()) == 4


@pytest.mark.about_the_folder
def test_a_file_that_was_changed_is_noticed(fs, query):
    dataset = fs.create_training_dataset("delays", data_format="csv").save(query)
    [path] = dataset.location.rglob("*.csv")
    path.write_text(path.read_text().replace("12.5", "13.5"))
    check = dataset.verify()
    assert not check
    assert check.rebuilt == check.recorded != check.files


@pytest.mark.about_the_folder
def test_a_file_that_is_gone_is_noticed_by_who_reads(fs, query):
    dataset = fs.create_training_dataset("short").save(query)
    [file] = dataset.location.rglob("*.parquet")
    file.unlink()
    with pytest.raises(StoreError, match="has 0 rows, wanted"):
        dataset.read()


def test_splits_divide_the_rows_and_repeat(fs, many):
    splits = {"train": 0.8, "test": 0.2}

    def made(name, seed):
        dataset = fs.create_training_dataset(name, splits=splits, seed=seed)
        return dataset.save(many.select_all())

    one, same, other = made("one", 1), made("same", 1), made("other", 2)
    train, test = set(one.read("train")["id"]), set(one.read("test")["id"])
    assert train.isdisjoint(test)
    assert len(train | test) == 1000
    assert 150 < len(test) < 250
    assert one.rows == {"train": len(train), "test": len(test)}
    assert len(one.read()) == 1000
    assert one.digest == same.digest
    assert set(same.read("test")["id"]) == test
    assert set(other.read("test")["id"]) != test
    assert one.verify()


def test_a_window_of_event_time(fs, many):
    dataset = fs.create_training_dataset("window")
    dataset.save(many.select_all(), start_time="2013-01-01T00:10Z", end_time="2013-01-01T00:20Z")
    assert sorted(dataset.read()["id"]) == list(range(10, 20))
    assert dataset.verify()


def test_a_filter_is_part_of_the_dataset(fs, many):
    dataset = fs.create_training_dataset("filtered").save(many.filter(many.level < 5))
    assert len(dataset.read()) == 5
    assert dataset.verify()
    assert "level < 5" in repr(dataset.query)


def test_what_cannot_be_a_dataset(fs, query):
    with pytest.raises(InvalidDefinitionError, match=r"add up to 0\.9"):
        fs.create_training_dataset("d", splits={"a": 0.5, "b": 0.4}).save(query)
    with pytest.raises(InvalidDefinitionError, match="found 'orc'"):
        fs.create_training_dataset("d", data_format="orc")
    with pytest.raises(InvalidDefinitionError, match="training dataset name `D`"):
        fs.create_training_dataset("D").save(query)
    with pytest.raises(ValueError, match="nothing"):
        fs.create_training_dataset("d", label="nothing").save(query)


def test_a_dataset_is_saved_once(fs, query):
    dataset = fs.create_training_dataset("delays")
    assert "not saved yet" in repr(dataset)
    with pytest.raises(NotFoundError, match="call save"):
        dataset.read()
    dataset.save(query)
    with pytest.raises(InvalidDefinitionError, match="saved already"):
        dataset.save(query)
    with pytest.raises(TwinfoldError, match="exists"):
        fs.create_training_dataset("delays", 1).save(query)


def test_a_dataset_can_be_removed(fs, query):
    dataset = fs.create_training_dataset("delays").save(query)
    dataset.delete()
    assert fs.get_training_datasets() == []
    with pytest.raises(NotFoundError):
        fs.get_training_dataset("delays")


def test_an_unknown_split_is_refused(fs, many):
    dataset = fs.create_training_dataset("d", splits={"train": 0.5, "test": 0.5})
    dataset.save(many.select_all())
    with pytest.raises(TwinfoldError, match="validation"):
        dataset.read("validation")


def test_serving_vectors_have_the_datasets_order(fs, query):
    dataset = fs.create_training_dataset("delays", label=["delayed"]).save(query)
    dataset.init_prepared_statement()
    assert dataset.serving_keys == ["flight", "origin"]
    vector = dataset.get_serving_vector({"flight": 2, "origin": "JFK"})
    assert vector[0] == 2
    assert vector[-1] == 11.0
    assert len(vector) == 4
    columns = {"flight": [1, 2], "origin": ["EWR", "LGA"]}
    vectors = dataset.get_serving_vectors(columns)
    assert [v[-1] for v in vectors] == [12.5, 9.5]
    rows = [{"flight": 1, "origin": "EWR"}, {"flight": 2, "origin": "LGA"}]
    assert dataset.get_serving_vectors(rows) == vectors


def test_a_dataset_shows_itself(fs, query):
    dataset = fs.create_training_dataset("delays", label=["delayed"]).save(query)
    assert "TrainingDataset delays_1" in repr(dataset)
    assert "label" in repr(dataset)
    assert dataset.digest[:12] in dataset._repr_html_()
