"""Training datasets: the immutable result of a query, and vectors in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from twinfold.dataframes import DataFrameType, from_rows, to_text
from twinfold.display import count, html_table, text_table
from twinfold.exceptions import InvalidDefinitionError, NotFoundError
from twinfold.feature import GroupRef
from twinfold.query import Query, check_query
from twinfold.statistics import DatasetStatistics
from twinfold.times import Time, optional_micros
from twinfold.vectors import Entry, ReturnType, VectorSource

if TYPE_CHECKING:
    from twinfold import _core, _shapes
    from twinfold.feature_store import FeatureStore

DataFormat = Literal["parquet", "csv"]


class PinnedTable(NamedTuple):
    """The commit of a feature group's history that a dataset was read from."""

    group: GroupRef
    commit_id: int


@dataclass(frozen=True)
class DatasetCheck:
    """What :meth:`TrainingDataset.verify` found.

    Attributes
    ----------
    recorded
        The digest that the dataset was stored with.
    files
        The digest of its files as they are now.
    rebuilt
        The digest of the query run again at the pinned commits.
    """

    recorded: str
    files: str
    rebuilt: str

    @property
    def is_proved(self) -> bool:
        """Whether all three are the same."""
        return self.recorded == self.files == self.rebuilt

    def __bool__(self) -> bool:
        return self.is_proved

    def __repr__(self) -> str:
        if self.is_proved:
            return f"DatasetCheck(proved, digest {self.recorded})"
        return (
            f"DatasetCheck(NOT proved, recorded {self.recorded}, files {self.files}, "
            f"rebuilt {self.rebuilt})"
        )


class TrainingDataset(VectorSource):
    """The result of a query at pinned commits, kept as files.

    Made by :meth:`twinfold.FeatureStore.create_training_dataset` and :meth:`save`, or by
    :meth:`twinfold.FeatureView.create_training_data`.

    Examples
    --------
    >>> query = flights.select_all().join(weather.select(["temp"]))
    >>> dataset = fs.create_training_dataset("delays", label=["delayed"]).save(query)
    >>> dataset.read()["temp"].tolist()
    [10.0, 12.5]
    >>> bool(dataset.verify())
    True
    """

    def __init__(
        self,
        store: FeatureStore,
        *,
        definition: _shapes.DatasetDict | None = None,
        pending: _shapes.DatasetSpecDict | None = None,
    ) -> None:
        self._store = store
        self._definition = definition
        self._pending = pending

    def _saved(self) -> _shapes.DatasetDict:
        if self._definition is None:
            name = self._pending["name"] if self._pending is not None else ""
            raise NotFoundError(
                f"training dataset `{name}` is not saved yet: call save(query)",
                what="training dataset",
                name=name,
            )
        return self._definition

    def save(
        self,
        query: Query,
        *,
        start_time: Time | None = None,
        end_time: Time | None = None,
    ) -> TrainingDataset:
        """Run the query at the newest commits and keep the result.

        Parameters
        ----------
        query
            What to read.
        start_time, end_time
            Rows of the left group from the one and before the other.
        """
        if self._pending is None:
            raise InvalidDefinitionError(
                f"training dataset `{self.name}` version {self.version} is saved already and never "
                "changes; create another version"
            )
        check_query(query, self._store)
        spec: _shapes.DatasetSpecDict = {
            **self._pending,
            "query": query._to_core(),
            "start_us": optional_micros(start_time, "start_time"),
            "end_us": optional_micros(end_time, "end_time"),
        }
        self._definition = self._store._platform.create_dataset(spec)
        self._pending = None
        return self

    @property
    def name(self) -> str:
        """The name."""
        return self._saved()["name"]

    @property
    def version(self) -> int:
        """The version, counted from 1."""
        return self._saved()["version"]

    @property
    def query(self) -> Query:
        """The query that was run."""
        return Query._from_core(self._store, self._saved()["query"])

    @property
    def label(self) -> list[str]:
        """The columns that a model predicts; they are not part of serving vectors."""
        return list(self._saved()["labels"])

    @property
    def data_format(self) -> DataFormat:
        """The format of its files."""
        return "csv" if self._saved()["csv"] else "parquet"

    @property
    def splits(self) -> dict[str, float]:
        """Names and shares of its parts; empty when there is but one."""
        return dict(self._saved()["splits"])

    @property
    def seed(self) -> int:
        """What decided which row fell into which split."""
        return self._saved()["seed"]

    @property
    def description(self) -> str:
        """What it is, for people."""
        return self._saved()["description"]

    @property
    def features(self) -> dict[str, str]:
        """Columns in order with their types, labels included."""
        return dict(self._saved()["features"])

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each split has."""
        return dict(self._saved()["rows"])

    @property
    def pins(self) -> list[PinnedTable]:
        """Which commit of each group's history was read; none of them is vacuumed."""
        return [PinnedTable(GroupRef(n, v), commit) for n, v, commit in self._saved()["pins"]]

    @property
    def digest(self) -> str:
        """SHA-256 over the content, whatever the files look like."""
        return self._saved()["digest"]

    @property
    def location(self) -> Path:
        """The folder of its files, when the platform is in this process."""
        return self._store.path / self._saved()["location"]

    @property
    def created_at(self) -> datetime:
        """When it was saved."""
        return self._saved()["created_at"]

    def read(self, split: str | None = None, *, dataframe_type: DataFrameType = "pandas") -> Any:
        """The rows of one split, or of all."""
        found = self._store._platform.read_dataset(self.name, self.version, split, None)
        return from_rows(found, dataframe_type)

    def show(self, n: int = 5, *, split: str | None = None) -> None:
        """Print the first rows."""
        found = self._store._platform.read_dataset(self.name, self.version, split, n)
        print(to_text(found))

    def _features_and_labels(
        self, split: str | None, dataframe_type: DataFrameType
    ) -> tuple[Any, Any]:
        return divided(self.read(split, dataframe_type=dataframe_type), self.label, dataframe_type)

    def _parts(self, splits: Sequence[str], dataframe_type: DataFrameType) -> tuple[Any, ...]:
        """The features of each split, then the labels of each."""
        parts = [self._features_and_labels(split, dataframe_type) for split in splits]
        return tuple(side for sides in zip(*parts, strict=True) for side in sides)

    def verify(self) -> DatasetCheck:
        """Build the dataset again from the pinned commits and compare digests."""
        return DatasetCheck(**self._store._platform.verify_dataset(self.name, self.version))

    def get_statistics(self, split: str | None = None) -> DatasetStatistics | None:
        """What the columns hold: of one split, or of all rows.

        It was found while the dataset was written, so nothing is read again.

        Returns
        -------
        DatasetStatistics
            ``None`` for a dataset that was made before statistics were kept.

        Examples
        --------
        >>> query = flights.select_all().join(weather.select(["temp"]))
        >>> dataset = fs.create_training_dataset("delays", label=["delayed"]).save(query)
        >>> statistics = dataset.get_statistics()
        >>> statistics.columns["temp"].mean
        11.25
        >>> statistics.to_pandas().loc["temp", "max"]
        12.5
        """
        if split is not None and split not in self.rows:
            raise InvalidDefinitionError(
                f"training dataset `{self.name}` has no split `{split}`; it has "
                + ", ".join(f"`{name}`" for name in self.rows)
            )
        found = self._store._platform.dataset_statistics(self.name, self.version)
        if found is None:
            return None
        if split is None or len(self.rows) == 1:
            return DatasetStatistics._from_core(found["whole"])
        return DatasetStatistics._from_core(found["splits"][split])

    def delete(self) -> None:
        """Remove the dataset and its files."""
        self._store._platform.delete_dataset(self.name, self.version)

    def init_prepared_statement(self) -> TrainingDataset:
        """The same as :meth:`init_serving`, by the name it used to have."""
        return self.init_serving()

    def _open_reader(self) -> _core.VectorReader:
        return self._store._platform.dataset_reader(self.name, self.version)

    def get_serving_vector(
        self,
        entry: Entry,
        *,
        passed_features: Entry | None = None,
        return_type: ReturnType = "list",
        allow_missing: bool = True,
    ) -> Any:
        """The newest features of one entity, in the dataset's order and without its labels.

        Parameters
        ----------
        entry
            The serving keys.
        passed_features
            Features that are known better than the store knows them.
        return_type
            ``list``, ``dict``, ``numpy``, ``pandas``, ``polars``, or ``detailed`` for a
            :class:`twinfold.FeatureVector` that says what each group had. Numbers alone make a
            numpy array of doubles, which refuses a bigint that it would round.
        allow_missing
            ``False`` raises :class:`twinfold.exceptions.MissingRowError` when a group has no row.
        """
        return self._read_one(entry, passed_features, return_type, allow_missing)

    def get_serving_vectors(
        self,
        entries: Sequence[Entry] | Mapping[str, Sequence[Any]],
        *,
        passed_features: Sequence[Entry] | None = None,
        return_type: ReturnType = "list",
        allow_missing: bool = True,
    ) -> Any:
        """A vector per entry, in order: a list of dicts, or a dict of columns."""
        return self._read_many(entries, passed_features, return_type, allow_missing)

    def _title(self) -> str:
        rows = ", ".join(f"{split} {count(n, 'row')}" for split, n in self.rows.items())
        return f"TrainingDataset {self.name}_{self.version}: {rows}, digest {self.digest[:12]}"

    def _described(self) -> list[list[Any]]:
        return [
            [name, type_name, "label" if name in self.label else ""]
            for name, type_name in self.features.items()
        ]

    def __repr__(self) -> str:
        if self._definition is None:
            name = self._pending["name"] if self._pending is not None else ""
            return f"TrainingDataset {name}: not saved yet"
        return f"{self._title()}\n{text_table(['feature', 'type', 'role'], self._described())}"

    def _repr_html_(self) -> str:
        if self._definition is None:
            return f"<code>{self!r}</code>"
        return html_table(self._title(), ["feature", "type", "role"], self._described())


def is_csv(data_format: str) -> bool:
    """Whether the format is CSV; refuses what is not known."""
    if data_format not in ("parquet", "csv"):
        raise InvalidDefinitionError(
            f"data_format: wanted 'parquet' or 'csv', found {data_format!r}"
        )
    return data_format == "csv"


def divided(rows: Any, labels: Sequence[str], dataframe_type: DataFrameType) -> tuple[Any, Any]:
    """Features and labels."""
    names = rows.column_names if dataframe_type == "arrow" else list(rows.columns)
    features = [name for name in names if name not in labels]
    present = [name for name in names if name in labels]
    if dataframe_type == "pandas":
        return rows[features], rows[present]
    return rows.select(features), rows.select(present)
