"""Feature views: what a model takes, for training and for serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypedDict

from twinfold.dataframes import DataFrameType, Rows, from_rows
from twinfold.dataset import DataFormat, TrainingDataset, divided, is_csv
from twinfold.display import html_table, text_table
from twinfold.query import Query, column_types
from twinfold.times import Time, optional_micros
from twinfold.vectors import Entry, ReturnType, VectorSource

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from twinfold import _core, _shapes
    from twinfold.feature_store import FeatureStore
    from twinfold.statistics import DatasetStatistics

_HEADERS = ["feature", "type", "from", "role", "default"]


class SplitOptions(TypedDict, total=False):
    """What :meth:`FeatureView.create_training_data` takes besides its splits."""

    start_time: Time | None
    end_time: Time | None
    description: str
    data_format: DataFormat
    seed: int


class FeatureView(VectorSource):
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

    def create_train_test_split(
        self, *, test_size: float = 0.2, **options: Unpack[SplitOptions]
    ) -> tuple[int, TrainingDataset]:
        """Create training data in the parts ``train`` and ``test``.

        Parameters
        ----------
        test_size
            The share of the rows that are for testing.
        **options
            What :meth:`create_training_data` takes besides ``splits``.

        Returns
        -------
        tuple
            The version, for :meth:`get_train_test_split`, and the dataset.

        Examples
        --------
        >>> version, dataset = view.create_train_test_split(test_size=0.5, seed=3)
        >>> X_train, X_test, y_train, y_test = view.get_train_test_split(version)
        >>> len(X_train) + len(X_test)
        2
        """
        splits = {"train": 1.0 - test_size, "test": test_size}
        return self.create_training_data(splits=splits, **options)

    def create_train_validation_test_split(
        self,
        *,
        validation_size: float = 0.1,
        test_size: float = 0.2,
        **options: Unpack[SplitOptions],
    ) -> tuple[int, TrainingDataset]:
        """As :meth:`create_train_test_split`, with a part ``validation`` between the two."""
        splits = {
            "train": 1.0 - validation_size - test_size,
            "validation": validation_size,
            "test": test_size,
        }
        return self.create_training_data(splits=splits, **options)

    def get_training_dataset(self, training_dataset_version: int | None = None) -> TrainingDataset:
        """Training data that was created before; the newest when no version is given."""
        return self._store.get_training_dataset(self._dataset_name, training_dataset_version)

    def get_training_dataset_statistics(
        self, training_dataset_version: int, *, split: str | None = None
    ) -> DatasetStatistics | None:
        """What the columns of training data hold; see :meth:`TrainingDataset.get_statistics`."""
        return self.get_training_dataset(training_dataset_version).get_statistics(split)

    def get_training_data(
        self, training_dataset_version: int, *, dataframe_type: DataFrameType = "pandas"
    ) -> tuple[Any, Any]:
        """Features and labels of training data that was created before."""
        dataset = self.get_training_dataset(training_dataset_version)
        return dataset._features_and_labels(None, dataframe_type)

    def get_train_test_split(
        self, training_dataset_version: int, *, dataframe_type: DataFrameType = "pandas"
    ) -> tuple[Any, ...]:
        """``X_train, X_test, y_train, y_test`` of training data that was created before."""
        dataset = self.get_training_dataset(training_dataset_version)
        return dataset._parts(["train", "test"], dataframe_type)

    def get_train_validation_test_split(
        self, training_dataset_version: int, *, dataframe_type: DataFrameType = "pandas"
    ) -> tuple[Any, ...]:
        """``X_train, X_validation, X_test, y_train, y_validation, y_test`` of the same."""
        dataset = self.get_training_dataset(training_dataset_version)
        return dataset._parts(["train", "validation", "test"], dataframe_type)

    def training_data(
        self,
        *,
        start_time: Time | None = None,
        end_time: Time | None = None,
        spine: Rows | None = None,
        event_time: str | EllipsisType | None = ...,
        dataframe_type: DataFrameType = "pandas",
    ) -> tuple[Any, Any]:
        """Features and labels, read now and not kept; defaults stand where they do in a vector.

        Parameters
        ----------
        spine, event_time, start_time, end_time, dataframe_type
            As in :meth:`twinfold.Query.read`.

        Examples
        --------
        >>> features, labels = view.training_data()
        >>> labels["delayed"].tolist()
        [False, True]
        """
        spine_rows, spine_event_time = self.query._spine(spine, event_time)
        found = self._store._platform.read_view(
            self.name,
            self.version,
            spine_rows,
            spine_event_time,
            optional_micros(start_time, "start_time"),
            optional_micros(end_time, "end_time"),
        )
        return divided(from_rows(found, dataframe_type), self.labels, dataframe_type)

    def train_test_split(
        self,
        *,
        test_size: float = 0.2,
        dataframe_type: DataFrameType = "pandas",
        **options: Unpack[SplitOptions],
    ) -> tuple[Any, ...]:
        """:meth:`create_train_test_split` and :meth:`get_train_test_split` in one.

        Returns
        -------
        tuple
            ``X_train, X_test, y_train, y_test``. The dataset they come from is kept; it is what
            :meth:`get_training_dataset` finds until more training data is created.
        """
        _, dataset = self.create_train_test_split(test_size=test_size, **options)
        return dataset._parts(["train", "test"], dataframe_type)

    def train_validation_test_split(
        self,
        *,
        validation_size: float = 0.1,
        test_size: float = 0.2,
        dataframe_type: DataFrameType = "pandas",
        **options: Unpack[SplitOptions],
    ) -> tuple[Any, ...]:
        """The same in three parts.

        Returns
        -------
        tuple
            ``X_train, X_validation, X_test, y_train, y_validation, y_test``.
        """
        _, dataset = self.create_train_validation_test_split(
            validation_size=validation_size, test_size=test_size, **options
        )
        return dataset._parts(["train", "validation", "test"], dataframe_type)

    def get_batch_data(
        self,
        *,
        spine: Rows | None = None,
        event_time: str | EllipsisType | None = ...,
        start_time: Time | None = None,
        end_time: Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> Any:
        """Features without labels, for scoring many entities at once.

        Parameters
        ----------
        spine, event_time, start_time, end_time, dataframe_type
            As in :meth:`twinfold.Query.read`. To score a spine with what is known now, pass
            ``event_time=None``.
        """
        features, _ = self.training_data(
            spine=spine,
            event_time=event_time,
            start_time=start_time,
            end_time=end_time,
            dataframe_type=dataframe_type,
        )
        return features

    # Serving.

    def init_serving(self, training_dataset_version: int | None = None) -> FeatureView:
        """Make the plan for feature vectors now, so that the first one is as fast as the others.

        Parameters
        ----------
        training_dataset_version
            Training data whose features, order, labels and defaults the vectors shall have; the
            view's own when not given. They differ only when the view was made again since.
        """
        if training_dataset_version is None:
            self._vector_reader = self._open_reader()
        else:
            self._vector_reader = self.get_training_dataset(training_dataset_version)._reader()
        return self

    def _open_reader(self) -> _core.VectorReader:
        return self._store._platform.view_reader(self.name, self.version)

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
            :class:`twinfold.FeatureVector` that says what each group had. Numbers alone make a
            numpy array of doubles, which refuses a bigint that it would round.
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
        return self._read_one(entry, passed_features, return_type, allow_missing)

    def get_feature_vectors(
        self,
        entries: Sequence[Entry] | Mapping[str, Sequence[Any]],
        *,
        passed_features: Sequence[Entry] | None = None,
        return_type: ReturnType = "list",
        allow_missing: bool = True,
    ) -> Any:
        """A vector per entry, in order: a list of dicts, or a dict of columns."""
        return self._read_many(entries, passed_features, return_type, allow_missing)

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
