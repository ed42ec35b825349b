"""Point-in-time joins, filters, spines."""

import pandas as pd
import pytest

from twinfold import Feature
from twinfold.exceptions import InvalidDefinitionError, UnknownFeatureError


def by_flight(frame):
    return frame.sort_values("flight").reset_index(drop=True)


@pytest.fixture
def planes(fs):
    group = fs.create_feature_group("planes", primary_key="tail")
    group.insert({"tail": ["n1", "n2"], "seats": [100, 200], "origin": ["X", "Y"]}, wait=True)
    return group


def test_a_join_finds_what_was_known_at_the_time(flights, weather):
    query = flights.select_all().join(weather.select_all(include_event_time=False))
    assert query.columns == ["flight", "origin", "at", "delayed", "temp", "wind"]
    found = by_flight(query.read())
    assert found["temp"].tolist() == [10.0, 12.5]
    assert found["wind"].tolist() == [8, 3]


def test_a_row_before_the_first_observation_has_none(flights, weather):
    flights.insert(
        {
            "flight": [3],
            "origin": ["LGA"],
            "at": [pd.Timestamp("2013-01-01T05:59Z")],
            "delayed": [None],
        },
        wait=True,
    )
    left = by_flight(flights.select(["flight"]).join(weather.select(["temp"])).read())
    assert left["temp"].isna().tolist() == [False, False, True]
    inner = flights.select(["flight"]).join(weather.select(["temp"]), join_type="inner").read()
    assert sorted(inner["flight"]) == [1, 2]


def test_several_groups_with_different_keys(fs, flights, weather, planes):
    legs = fs.create_feature_group("legs", primary_key="flight", event_time="at")
    legs.insert(
        {
            "flight": [1, 2],
            "at": pd.to_datetime(["2013-01-01T06:30Z", "2013-01-01T08:00Z"]),
            "source": ["JFK", "EWR"],
            "tailnum": ["n2", None],
        },
        wait=True,
    )
    query = (
        legs.select(["flight"])
        .join(weather.select(["origin", "temp"]), left_on="source", right_on="origin", prefix="w_")
        .join(planes.select(["seats"]), left_on="tailnum")
    )
    assert query.columns == ["flight", "w_origin", "w_temp", "seats"]
    found = by_flight(query.read())
    assert found["w_temp"].tolist() == [10.0, 12.5]
    # Planes have no event time: they are looked up as they are now.
    assert found["seats"].tolist()[:1] == [200]
    assert found["seats"].isna().tolist() == [False, True]


def test_columns_of_the_same_name_ask_for_a_prefix(flights, weather, planes):
    query = flights.select_all().join(planes.select_all(), left_on="origin", right_on="tail")
    with pytest.raises(InvalidDefinitionError, match="give one of the joins a prefix"):
        query.read()


def test_filters(flights, weather):
    query = flights.select_all().join(weather.select(["temp"]), prefix="w_")

    def matching(condition):
        return sorted(query.filter(condition).read()["flight"])

    assert matching(flights.delayed == True) == [2]  # noqa: E712
    assert matching(flights.delayed != True) == [1]  # noqa: E712
    assert matching(weather.temp > 11) == [2]
    assert matching(weather["temp"] <= 10.0) == [1]
    assert matching(Feature("w_temp") < 11) == [1]
    assert matching((weather.temp > 1) & (flights.flight >= 2)) == [2]
    assert matching((weather.temp > 11) | (flights.flight == 1)) == [1, 2]
    assert matching(~(flights.flight == 1)) == [2]
    assert matching(flights.origin.isin(["JFK", "LGA"])) == [1]
    assert matching(weather.temp.is_null()) == []
    assert matching(~weather.temp.is_null()) == [1, 2]
    assert matching(flights["at"] < pd.Timestamp("2013-01-01T07:00Z")) == [1]
    both = query.filter(flights.flight > 0).filter(flights.flight < 2)
    assert both.read()["flight"].tolist() == [1]


def test_a_filter_names_what_is_selected(flights, weather):
    with pytest.raises(UnknownFeatureError, match=r"weather_1.temp` is not selected"):
        flights.select_all().filter(weather.temp > 1)
    with pytest.raises(UnknownFeatureError, match="`nothing` is not selected"):
        flights.select_all().filter(Feature("nothing") > 1)
    with pytest.raises(TypeError, match="combine filters with &"):
        bool(flights.flight == 1)
    with pytest.raises(InvalidDefinitionError, match="compares a feature with a value"):
        flights.flight == flights.origin  # noqa: B015


def test_a_filter_constant_has_the_features_type(flights):
    with pytest.raises(ValueError, match="`flight`: found str 'one', wanted bigint"):
        flights.filter(flights.flight == "one").read()


def test_a_filter_is_a_condition(fs, flights):
    group = fs.create_feature_group("named", primary_key="id")
    group.insert({"id": [1, 2], "version": [1, 2]}, wait=True)
    assert group.filter(group["version"] > 1).read()["id"].tolist() == [2]
    for wrong in (group.version > 1, None, "version > 1", group["id"]):
        for attempt in (group.filter, lambda wrong: (group["id"] > 1) & wrong):
            with pytest.raises(InvalidDefinitionError, match="wanted a condition") as caught:
                attempt(wrong)
            assert 'an item of it: group["name"]' in str(caught.value)


def test_selections(weather):
    assert weather.select_except(["temp"]).columns == ["origin", "hour", "wind"]
    assert weather.select([weather.wind, "origin"]).columns == ["wind", "origin"]
    assert weather.select("temp").columns == weather.select(weather.temp).columns == ["temp"]
    assert weather.select_except("temp").columns == ["origin", "hour", "wind"]
    assert weather.select_except(weather.temp).columns == ["origin", "hour", "wind"]
    no_keys = weather.select_all(include_primary_key=False, include_event_time=False)
    assert no_keys.columns == ["temp", "wind"]
    for select in (weather.select, weather.select_except):
        with pytest.raises(UnknownFeatureError, match="`rain` does not exist in `weather_1`"):
            select(["rain"])
    with pytest.raises(AttributeError, match="rain"):
        weather.rain  # noqa: B018


def test_a_spine_takes_the_place_of_the_left_group(flights, weather):
    query = flights.select(["flight", "delayed"]).join(weather.select(["temp"]))
    spine = pd.DataFrame(
        {
            "flight": [1, 2],
            "origin": ["EWR", "JFK"],
            "at": pd.to_datetime(["2013-01-02T00:00Z", "2013-01-01T06:59Z"]),
            "note": ["late", "early"],
        }
    )
    found = by_flight(query.read(spine=spine))
    assert found["temp"].tolist() == [12.5, 10.0]
    assert found["note"].tolist() == ["late", "early"]
    assert found["delayed"].tolist() == [False, pd.NA]


def test_a_spine_without_its_times_is_refused_unless_the_newest_are_wanted(flights, weather, view):
    query = flights.select(["flight"]).join(weather.select(["temp"]))
    spine = pd.DataFrame(
        {
            "flight": [1, 2],
            "origin": ["EWR", "JFK"],
            "moment": pd.to_datetime(["2013-01-02T00:00Z", "2013-01-01T06:59Z"]),
        }
    )
    for read in (query.read, view.training_data, view.get_batch_data):
        with pytest.raises(InvalidDefinitionError, match="no column `at`") as caught:
            read(spine=spine)
        for part in ("flights_1", "it has flight, origin, moment", "event_time=None"):
            assert part in str(caught.value)
    then, newest = [12.5, 10.0], [12.5, 11.0]
    assert by_flight(query.read(spine=spine, event_time="moment"))["temp"].tolist() == then
    assert by_flight(query.read(spine=spine, event_time=None))["temp"].tolist() == newest
    scored = view.get_batch_data(spine=spine, event_time=None)
    assert by_flight(scored)["temp"].tolist() == newest
    features, _ = view.training_data(spine=spine, event_time="moment")
    assert by_flight(features)["temp"].tolist() == then


def test_a_spine_of_a_group_without_event_time_reads_the_newest(planes):
    found = planes.select(["seats"]).read(spine={"tail": ["n2"]})
    assert found["seats"].tolist() == [200]


def test_a_spine_needs_its_times_for_a_joined_group_too(fs, planes, weather):
    query = planes.select(["seats"]).join(weather.select(["temp"]))
    spine = pd.DataFrame(
        {
            "tail": ["n1", "n2"],
            "origin": ["EWR", "JFK"],
            "at": pd.to_datetime(["2013-01-02T00:00Z", "2013-01-01T06:59Z"]),
        }
    )
    view = fs.create_feature_view("seats", query)
    for read in (query.read, view.training_data, view.get_batch_data):
        with pytest.raises(InvalidDefinitionError, match="which column has its times") as caught:
            read(spine=spine)
        for part in ("`planes_1`", "`weather_1`", "it has tail, origin, at", "event_time=None"):
            assert part in str(caught.value)

    def temperatures(event_time):
        return query.read(spine=spine, event_time=event_time).sort_values("tail")["temp"].tolist()

    assert temperatures("at") == [12.5, 10.0]
    assert temperatures(None) == [12.5, 11.0]


def test_time_travel_of_a_join(flights, weather, sample):
    before = next(iter(weather.commit_details(limit=1)))
    weather.insert(sample.assign(temp=0.0), wait=True)
    then = flights.select(["flight"]).join(weather.select(["temp"]).as_of(commit_id=before))
    assert by_flight(then.read())["temp"].tolist() == [10.0, 12.5]
    now = flights.select(["flight"]).join(weather.select(["temp"]))
    assert by_flight(now.read())["temp"].tolist() == [0.0, 0.0]
    with pytest.raises(InvalidDefinitionError, match="belongs to one group"):
        now.as_of(commit_id=before)


def test_joins_that_cannot_be(flights, weather):
    left = flights.select_all()
    with pytest.raises(InvalidDefinitionError, match="found 'outer'"):
        left.join(weather.select(["temp"]), join_type="outer")
    with pytest.raises(InvalidDefinitionError, match="found one with a filter"):
        left.join(weather.filter(weather.temp > 1))
    with pytest.raises(InvalidDefinitionError, match="found one with joins"):
        left.join(left.join(weather.select(["temp"])))
    with pytest.raises(InvalidDefinitionError, match="either on, or left_on"):
        left.join(weather.select(["temp"]), on="origin", left_on="origin")
    with pytest.raises(InvalidDefinitionError, match="left_on has 2 columns"):
        left.join(weather.select(["temp"]), left_on=["origin", "flight"])
    with pytest.raises(ValueError, match="nowhere"):
        left.join(weather.select(["temp"]), left_on="nowhere").read()


def test_show_prints_rows(flights, capsys):
    flights.show(1)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[0].split() == ["flight", "origin", "at", "delayed"]


def test_a_query_shows_itself(flights, weather):
    query = flights.select(["flight"]).join(weather.select(["temp"]), prefix="w_")
    text = repr(query.filter(weather.temp > 3))
    assert "left join on origin" in text
    assert "w_temp" in text
    assert "where (w_temp > 3)" in text
    assert "<table>" in query._repr_html_()
