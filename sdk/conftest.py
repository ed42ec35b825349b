"""A feature store per test, and the names that examples in docstrings use."""

import pandas as pd
import pytest

import twinfold


@pytest.fixture(autouse=True, scope="session")
def short_pauses():
    """Tests wait for history all the time, and a small insert ends with a pause."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TWINFOLD__OFFLINEFS__BATCH_IDLE_MS_MAX", "20")
        yield


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def fs(folder):
    with twinfold.connect(folder) as store:
        yield store


def hours(*of_day, day=1):
    """Hours of a day of January 2013, in UTC."""
    return pd.to_datetime([f"2013-01-{day:02}T{hour:02}:00Z" for hour in of_day])


@pytest.fixture
def sample():
    """Weather at three airports; at JFK twice."""
    return pd.DataFrame(
        {
            "origin": ["EWR", "JFK", "JFK", "LGA"],
            "hour": hours(6, 6, 7, 6),
            "temp": [12.5, 10.0, 11.0, 9.5],
            "wind": [3, 8, 9, None],
        }
    ).astype({"wind": "Int64"})


@pytest.fixture
def weather(fs, sample):
    group = fs.create_feature_group("weather", primary_key=["origin"], event_time="hour")
    group.insert(sample, wait=True)
    return group


@pytest.fixture
def flights(fs):
    group = fs.create_feature_group("flights", primary_key=["flight"], event_time="at")
    frame = pd.DataFrame(
        {
            "flight": [1, 2],
            "origin": ["JFK", "EWR"],
            "at": pd.to_datetime(["2013-01-01T06:30Z", "2013-01-01T08:00Z"]),
            "delayed": [False, True],
        }
    )
    group.insert(frame, wait=True)
    return group


@pytest.fixture
def view(fs, flights, weather):
    query = flights.select_all().join(weather.select(["temp"]))
    return fs.create_feature_view("delays", query, labels=["delayed"], defaults={"temp": 0.0})


@pytest.fixture(autouse=True)
def names_of_examples(request):
    """Examples in docstrings find `fs` and the groups as a user would have them."""
    if type(request.node).__name__ != "DoctestItem":
        return
    namespace = request.getfixturevalue("doctest_namespace")
    namespace.update(twinfold=twinfold, Feature=twinfold.Feature)
    source = request.node.dtest.docstring or ""
    for name in ("fs", "sample", "weather", "flights", "view"):
        if name in source:
            namespace[name] = request.getfixturevalue(name)
