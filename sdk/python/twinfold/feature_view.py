"""Feature views: what a model takes, for training and for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twinfold.dataframes import DataFrameType, Rows
from twinfold.dataset import DataFormat, TrainingDataset
from twinfold.display import html_table, text_table
from twinfold.exceptions import InvalidDefinitionError
from twinfold.query import Query, column_types
from twinfold.times import Time, optional_micros
from twinfold.vectors import Entry, ReturnType, read_many, read_one

if TYPE_CHECKING:
    from twinfold import _core, _shapes
    from twinfold.feature_store import FeatureStore

_HEADERS = ["feature", "type", "from", "role", "default"]


class FeatureView:
    """A named, versioned query with labels and defaults.

    Made by :meth:`twinfold.FeatureStore.create_feature_view`.

    Examples
    --------
    >>> view
    FeatureView delays_1
      feature  type       from       role   default
      flight   bigint     flights_1
      origin   string     flights_1
      at       timestamp  flights_1
      delayed  boolean    flights_1  label
      temp     double     weather_1         0.0
    >>> view.get_feature_vector({"flight": 1, "origin": "JFK"}, return_type="dict")["temp"]
    11.0
    """

    def __init__(self, store: FeatureStore, definition: _shapes.ViewDict) -> None:
        self._store = store
        self._definition = definition
        self._vector_reader: _core.VectorReader | None = None
        self._query: Query | None = None

    @property
    def name(self) -> str:
        """The name."""
        return self._definition["name"]

    @property
    def version(self) -> int:
        """The version, counted from 1."""
        return self._definition["version"]

    @property
    def description(self) -> str:
        """What it is, for people."""
        return self._definition["description"]

    @property
    def labels(self) -> list[str]:
        """The columns that a model predicts; they are not part of feature vectors."""
        return list(self._definition["labels"])

    @property
    def defaults(self) -> dict[str, Any]:
        """What stands in for features whose row is missing or expired."""
        return dict(self._definition["defaults"])

    @property
    def query(self) -> Query:
        """What it reads."""
        if self._query is None:
            self._query = Query._from_core(self._store, self._definition["query"])
        return self._query

    def delete(self) -> None:
        """Remove the view; its training data stays."""
        self._store._platform.delete_feature_view(self.name, self.version)

    # Training.

    def create_training_data(
        self,
        *,
        start_time: Time | None = None,
        end_time: Time | None = None,
        description: str = "",
        data_format: DataFormat = "parquet",
        splits: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> tuple[int, TrainingDataset]:
        """Run the view's query at the newest commits and keep the result.

        Parameters
        ----------
        start_time, end_time
            Rows of the left group from the one and before the other.
        splits
            Names and shares, such as ``{"train": 0.8, "test": 0.2}``; one part when not given.
        seed
            Decides which row falls into which split.

        Returns
        -------
        tuple
            The version of the training data, for :meth:`get_training_data`, and the dataset.
        """
        spec: _shapes.DatasetSpecDict = {
            "name": self._dataset_name,
            "version": None,
            "query": None,
            "view": (self.name, self.version),
            "labels": self.labels,
            "csv": is_csv(data_format),
            "splits": list((splits or {}).items()),
            "seed": seed,
            "start_us": optional_micros(start_time, "start_time"),
            "end_us": optional_micros(end_time, "end_time"),
            "description": description,
        }
        definition = self._store._platform.create_dataset(spec)
        return definition["version"], TrainingDataset(self._store, definition=definition)

    @property
    def _dataset_name(self) -> str:
        return f"{self.name}_{self.version}"

    def get_training_dataset(self, version: int) -> TrainingDataset:
        """Training data that was created before."""
        return self._store.get_training_dataset(self._dataset_name, version)

    def get_training_data(
        self, version: int, *, dataframe_type: DataFrameType = "pandas"
    ) -> tuple[Any, Any]:
        """Features and labels of training data that was created before."""
        dataset = self.get_training_dataset(version)
        return self._features_and_labels(dataset, None, dataframe_type)

    def training_data(
        self,
        *,
        start_time: Time | None = None,
        end_time: Time | None = None,
        spine: Rows | None = None,
        event_time: str | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> tuple[Any, Any]:
        """Features and labels, read now and not kept.

        Examples
        --------
        >>> features, labels = view.training_data()
        >>> labels["delayed"].tolist()
        [False, True]
        """
        rows = self.query.read(
            spine=spine,
            event_time=event_time,
            start_time=start_time,
            end_time=end_time,
            dataframe_type=dataframe_type,
        )
        return _divided(rows, self.labels, dataframe_type)

    def train_test_split(
        self,
        *,
        test_size: float = 0.2,
        seed: int = 0,
        start_time: Time | None = None,
        end_time: Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> tuple[Any, Any, Any, Any]:
        """Create training data in two parts and read it.

        Returns
        -------
        tuple
            ``X_train, X_test, y_train, y_test``.
        """
        splits = {"train": 1.0 - test_size, "test": test_size}
        _, dataset = self.create_training_data(
            splits=splits, seed=seed, start_time=start_time, end_time=end_time
        )
        x_train, y_train = self._features_and_labels(dataset, "train", dataframe_type)
        x_test, y_test = self._features_and_labels(dataset, "test", dataframe_type)
        return x_train, x_test, y_train, y_test

    def train_validation_test_split(
        self,
        *,
        validation_size: float = 0.1,
        test_size: float = 0.2,
        seed: int = 0,
        start_time: Time | None = None,
        end_time: Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> tuple[Any, Any, Any, Any, Any, Any]:
        """Create training data in three parts and read it.

        Returns
        -------
        tuple
            ``X_train, X_validation, X_test, y_train, y_validation, y_test``.
        """
        splits = {
            "train": 1.0 - validation_size - test_size,
            "validation": validation_size,
            "test": test_size,
        }
        _, dataset = self.create_training_data(
            splits=splits, seed=seed, start_time=start_time, end_time=end_time
        )
        parts = [self._features_and_labels(dataset, split, dataframe_type) for split in splits]
        (x_train, y_train), (x_validation, y_validation), (x_test, y_test) = parts
        return x_train, x_validation, x_test, y_train, y_validation, y_test

    def _features_and_labels(
        self, dataset: TrainingDataset, split: str | None, dataframe_type: DataFrameType
    ) -> tuple[Any, Any]:
        rows = dataset.read(split, dataframe_type=dataframe_type)
        return _divided(rows, self.labels, dataframe_type)

    def get_batch_data(
        self,
        *,
        spine: Rows | None = None,
        event_time: str | None = None,
        start_time: Time | None = None,
        end_time: Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> Any:
        """Features without labels, for scoring many entities at once."""
        features, _ = self.training_data(
            spine=spine,
            event_time=event_time,
            start_time=start_time,
            end_time=end_time,
            dataframe_type=dataframe_type,
        )
        return features

    # Serving.

    def init_serving(self) -> FeatureView:
        """Make the plan for feature vectors now, so that the first one is as fast as the others."""
        self._reader()
        return self

    def _reader(self) -> _core.VectorReader:
        if self._vector_reader is None:
            self._vector_reader = self._store._platform.view_reader(self.name, self.version)
        return self._vector_reader

    @property
    def serving_keys(self) -> list[str]:
        """What an entry must have."""
        return [name for name, _ in self._reader().serving_keys]

    def get_feature_vector(
        self,
        entry: Entry,
        *,
        passed_features: Entry | None = None,
        return_type: ReturnType = "list",
        allow_missing: bool = True,
    ) -> Any:
        """The newest features of one entity, in the view's order and without labels.

        Parameters
        ----------
        entry
            The serving keys.
        passed_features
            Features that are known better than the store knows them.
        return_type
            ``list``, ``dict``, ``numpy``, ``pandas``, ``polars``, or ``detailed`` for a
            :class:`twinfold.FeatureVector` that says what each group had.
        allow_missing
            ``True`` puts the view's defaults, else nulls, where a row is missing or expired;
            ``False`` raises :class:`twinfold.exceptions.MissingRowError`.

        Examples
        --------
        >>> found = view.get_feature_vector({"flight": 1, "origin": "HPN"}, return_type="detailed")
        >>> found.values["temp"]
        0.0
        >>> [(group.group, group.presence) for group in found.groups]
        [('flights', 'present'), ('weather', 'missing')]
        """
        reader = self._vector_reader or self._reader()
        return read_one(reader, entry, passed_features, return_type, allow_missing)

    def get_feature_vectors(
        self,
        entries: Sequence[Entry] | Mapping[str, Sequence[Any]],
        *,
        passed_features: Sequence[Entry] | None = None,
        return_type: ReturnType = "list",
        allow_missing: bool = True,
    ) -> Any:
        """A vector per entry, in order: a list of dicts, or a dict of columns."""
        reader = self._reader()
        return read_many(reader, entries, passed_features, return_type, allow_missing)

    def _described(self) -> list[list[Any]]:
        origins = [
            str(selection.ref) for selection in self.query._groups() for _ in selection.features
        ]
        types = column_types(self.query)
        defaults = self.defaults
        return [
            [
                column,
                type_name,
                origin,
                "label" if column in self.labels else "",
                defaults.get(column),
            ]
            for (column, type_name), origin in zip(types.items(), origins, strict=True)
        ]

    def __repr__(self) -> str:
        return f"FeatureView {self.name}_{self.version}\n{text_table(_HEADERS, self._described())}"

    def _repr_html_(self) -> str:
        return html_table(f"FeatureView {self.name}_{self.version}", _HEADERS, self._described())


def is_csv(data_format: str) -> bool:
    """Whether the format is CSV; refuses what is not known."""
    if data_format not in ("parquet", "csv"):
        raise InvalidDefinitionError(
            f"data_format: wanted 'parquet' or 'csv', found {data_format!r}"
        )
    return data_format == "csv"


def _divided(rows: Any, labels: Sequence[str], dataframe_type: DataFrameType) -> tuple[Any, Any]:
    names = rows.column_names if dataframe_type == "arrow" else list(rows.columns)
    features = [name for name in names if name not in labels]
    present = [name for name in names if name in labels]
    if dataframe_type == "pandas":
        return rows[features], rows[present]
    return rows.select(features), rows.select(present)
