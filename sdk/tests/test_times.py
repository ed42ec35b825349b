"""Instants as users write them."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from twinfold.exceptions import InvalidDefinitionError
from twinfold.times import micros

AT_US = 1_356_998_400_000_000


@pytest.mark.parametrize(
    "moment",
    [
        date(2013, 1, 1),
        datetime(2013, 1, 1),
        datetime(2013, 1, 1, 5, tzinfo=timezone(timedelta(hours=5))),
        "2013-01-01",
        "2013-01-01T00:00:00Z",
        pd.Timestamp("2013-01-01"),
        pd.Timestamp("2012-12-31T19:00", tz="America/New_York"),
        np.datetime64("2013-01-01"),
        np.datetime64(AT_US * 1_000, "ns"),
    ],
    ids=repr,
)
def test_an_instant_has_many_spellings(moment):
    assert micros(moment, "at") == AT_US


@pytest.mark.parametrize(
    "moment",
    [
        1_356_998_400,
        np.int64(1_356_998_400),
        np.float64(1_356_998_400.0),
        np.timedelta64(5, "s"),
        np.datetime64("NaT"),
        np.array(["2013-01-01"], "datetime64[us]"),
        pd.NaT,
        pd.NA,
        None,
    ],
    ids=repr,
)
def test_what_is_no_instant_is_refused(moment):
    with pytest.raises(InvalidDefinitionError, match="at: wanted a datetime, a date or an ISO"):
        micros(moment, "at")


def test_seconds_of_an_epoch_do_not_become_january_1970(weather):
    with pytest.raises(InvalidDefinitionError, match="start_time: wanted a datetime"):
        weather.read(start_time=np.int64(1_356_998_400))
