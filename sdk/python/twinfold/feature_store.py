"""The feature store: everything starts here."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twinfold.dataset import DataFormat, TrainingDataset, is_csv
from twinfold.display import count, html_table, text_table
from twinfold.exceptions import (
    AlreadyExistsError,
    InvalidDefinitionError,
    NotAvailableError,
    NotFoundError,
    TwinfoldError,
)
from twinfold.feature import Feature, names_of
from twinfold.feature_group import FeatureGroup
from twinfold.feature_view import FeatureView
from twinfold.group_definition import (
    asked_for,
    check_options,
    refuse_another,
    refuse_difference,
)
from twinfold.query import Query, check_query, column_types
from twinfold.streaming import stop_all
from twinfold.times import span_micros

if TYPE_CHECKING:
    from twinfold import _core, _shapes
    from twinfold.quarantine import QuarantinedRow
    from twinfold.streaming import StreamingQuery

_STREAMS_END_S = 60.0
_FORGOTTEN_STREAMS_END_S = 5.0


class FeatureStore:
    """An open connection, made by :func:`twinfold.connect`.

    Closing it finishes what is under way. It closes itself at the end of a ``with`` block, and at
    the latest when the interpreter ends.

    Attributes
    ----------
    address
        The folder of a platform in this process, or the URL of a deployment.
    """

    def __init__(self, platform: _core.Platform, address: Path | str) -> None:
        self._platform = platform
        self.address = address
        # New groups are looked for and created by one thread at a time. Only calls of the platform
        # are made inside of it: code of the user may create groups itself.
        self._creating = threading.Lock()
        self._streams: weakref.WeakSet[StreamingQuery] = weakref.WeakSet()
        self._finalizer = weakref.finalize(self, _close, platform, self._streams)

    @classmethod
    def _opened(cls, platform: _core.Platform, address: Path | str) -> FeatureStore:
        return cls(platform, address)

    @property
    def path(self) -> Path:
        """The folder of a platform in this process; a deployment has none here."""
        if isinstance(self.address, Path):
            return self.address
        raise NotAvailableError(f"the files of {self.address} are not on this machine")

    def close(self) -> None:
        """Stop streams, finish what is under way, release what is open. Twice is once."""
        if self._finalizer.alive:
            stop_all(list(self._streams), timeout_s=_STREAMS_END_S)
            self._platform.close()
            self._finalizer.detach()

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _register(self, stream: StreamingQuery) -> None:
        self._streams.add(stream)

    # Feature groups.

    def create_feature_group(
        self,
        name: str,
        version: int = 1,
        *,
        primary_key: str | Sequence[str],
        event_time: str | None = None,
        features: Sequence[Feature] | None = None,
        ttl: timedelta | float | None = None,
        online_enabled: bool = True,
        partitions: int | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> FeatureGroup:
        """Define a feature group.

        Parameters
        ----------
        name, version
            Together they identify it.
        primary_key
            The features that identify an entity: int, bigint, string, boolean, date, timestamp or
            binary.
        event_time
            The feature, timestamp or date, that says when a row became true. Without one it is the
            time of the insert.
        features
            When they are not given, the group is created by the first insert, with the columns of
            that dataframe.
        ttl
            A row is readable for so long after its event time: a ``timedelta``, or seconds.
        online_enabled
            Whether the newest rows are kept for serving.
        partitions
            Of the log; rows of one key share one. The platform's own number when not given.
        description, tags
            For people.

        Examples
        --------
        >>> planes = fs.create_feature_group(
        ...     "planes",
        ...     primary_key=["tailnum"],
        ...     features=[Feature("tailnum", "string"), Feature("seats", "int")],
        ... )
        >>> planes.state
        'active'
        """
        spec: _shapes.GroupSpecDict = {
            "name": name,
            "version": version,
            "features": [feature._to_core() for feature in features or ()],
            "primary_key": names_of(primary_key),
            "event_time": event_time,
            "ttl_us": None if ttl is None else span_micros(ttl, "ttl"),
            "online_enabled": online_enabled,
            "partitions": partitions,
            "description": description,
            "tags": dict(tags or {}),
        }
        if features is not None:
            with self._creating:
                return FeatureGroup(self, definition=self._platform.create_feature_group(spec))
        self._refuse_existing(name, version)
        return FeatureGroup(self, pending=spec)

    def _refuse_existing(self, name: str, version: int) -> None:
        """Said now, because the first insert would take the group as it is."""
        try:
            ref = self.get_feature_group(name, version).ref
        except NotFoundError:
            return
        raise AlreadyExistsError(
            f"feature group `{ref}` exists already", what="feature group", name=str(ref)
        )

    def get_or_create_feature_group(
        self,
        name: str,
        version: int = 1,
        *,
        primary_key: str | Sequence[str],
        event_time: str | None = None,
        **options: Any,
    ) -> FeatureGroup:
        """The group if it is there, else a new one; takes what :meth:`create_feature_group` takes.

        Raises
        ------
        InvalidDefinitionError
            When the group is there with another primary key or event time, or with other
            ``features`` or another ``ttl``, ``online_enabled`` or ``partitions`` than are given.
            Features that may have been added since do not matter, and description and tags are
            left as they are.
        """
        check_options(self.create_feature_group, options)
        wanted = asked_for(names_of(primary_key), event_time, options)
        try:
            found = self._platform.feature_group(name, version)
        except NotFoundError:
            try:
                return self.create_feature_group(
                    name, version, primary_key=primary_key, event_time=event_time, **options
                )
            except AlreadyExistsError:
                # Someone else was faster.
                found = self._platform.feature_group(name, version)
        refuse_another(found, wanted)
        if options.get("features") is not None:
            features = [feature._to_core() for feature in options["features"]]
            refuse_difference(found, self._platform.feature_difference(found, features))
        return FeatureGroup._from_core(self, found)

    def get_feature_group(self, name: str, version: int | None = None) -> FeatureGroup:
        """A feature group; its newest version when none is given.

        Examples
        --------
        >>> fs.get_feature_group("weather").version
        1
        """
        return FeatureGroup._from_core(self, self._platform.feature_group(name, version))

    def get_feature_groups(self) -> list[FeatureGroup]:
        """Every feature group."""
        return [FeatureGroup._from_core(self, found) for found in self._platform.feature_groups()]

    # Feature views.

    def create_feature_view(
        self,
        name: str,
        query: Query,
        version: int = 1,
        *,
        description: str = "",
        labels: str | Sequence[str] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> FeatureView:
        """Define what a model takes.

        Parameters
        ----------
        name, version
            Together they identify it.
        query
            What to read.
        labels
            Columns that a model predicts.
        defaults
            What stands in for features whose row is missing or expired, by column.
        """
        check_query(query, self)
        types = column_types(query)
        for column in defaults or ():
            if column not in types:
                raise InvalidDefinitionError(
                    f"defaults: column `{column}` is not in the query; it has {', '.join(types)}"
                )
        self._platform.create_feature_view(
            {
                "name": name,
                "version": version,
                "query": query._to_core(),
                "labels": names_of(labels),
                "defaults": {
                    column: (types[column], value) for column, value in (defaults or {}).items()
                },
                "description": description,
            }
        )
        return self.get_feature_view(name, version)

    def get_or_create_feature_view(
        self, name: str, query: Query, version: int = 1, **options: Any
    ) -> FeatureView:
        """The view if it is there, else a new one; takes what :meth:`create_feature_view` takes.

        Raises
        ------
        InvalidDefinitionError
            When the view is there with other columns than ``query`` has.
        """
        check_query(query, self)
        check_options(self.create_feature_view, options)
        try:
            found = self.get_feature_view(name, version)
        except NotFoundError:
            try:
                return self.create_feature_view(name, query, version, **options)
            except AlreadyExistsError:
                found = self.get_feature_view(name, version)
        if found.query.columns != query.columns:
            raise InvalidDefinitionError(
                f"feature view `{name}_{version}` exists with columns "
                f"{', '.join(found.query.columns)}; wanted {', '.join(query.columns)}"
            )
        return found

    def get_feature_view(self, name: str, version: int | None = None) -> FeatureView:
        """A feature view; its newest version when none is given."""
        return FeatureView(self, self._platform.feature_view(name, version))

    def get_feature_views(self) -> list[FeatureView]:
        """Every feature view."""
        return [FeatureView(self, found) for found in self._platform.feature_views()]

    # Training datasets.

    def create_training_dataset(
        self,
        name: str,
        version: int | None = None,
        *,
        description: str = "",
        data_format: DataFormat = "parquet",
        splits: Mapping[str, float] | None = None,
        seed: int = 0,
        label: str | Sequence[str] | None = None,
    ) -> TrainingDataset:
        """Define a training dataset; :meth:`twinfold.TrainingDataset.save` then makes it.

        Parameters
        ----------
        name, version
            Together they identify it; the next free version when none is given.
        data_format
            ``parquet`` or ``csv``.
        splits
            Names and shares, such as ``{"train": 0.8, "test": 0.2}``; one part when not given.
        seed
            Decides which row falls into which split.
        label
            The columns that a model predicts.
        """
        return TrainingDataset(
            self,
            pending={
                "name": name,
                "version": version,
                "query": None,
                "view": None,
                "labels": names_of(label),
                "csv": is_csv(data_format),
                "splits": list((splits or {}).items()),
                "seed": seed,
                "start_us": None,
                "end_us": None,
                "description": description,
            },
        )

    def get_training_dataset(self, name: str, version: int | None = None) -> TrainingDataset:
        """A training dataset; its newest version when none is given."""
        return TrainingDataset(self, definition=self._platform.dataset(name, version))

    def get_training_datasets(self) -> list[TrainingDataset]:
        """Every training dataset."""
        return [TrainingDataset(self, definition=found) for found in self._platform.datasets()]

    # Quarantine.

    def quarantine(self, *, limit: int = 100) -> list[QuarantinedRow]:
        """Rows of any group that could not be applied and were not replayed yet."""
        rows: list[QuarantinedRow] = []
        for group in self.get_feature_groups():
            if len(rows) < limit:
                rows.extend(group.quarantine(limit=limit - len(rows)))
        return rows

    def _described(self) -> list[list[Any]]:
        return [
            [
                str(group.ref),
                ", ".join(group.primary_key),
                group.event_time,
                len(group.features),
                group.state,
            ]
            for group in self.get_feature_groups()
        ]

    def __repr__(self) -> str:
        if not self._finalizer.alive:
            return f"FeatureStore {self.address}: closed"
        rows = self._described()
        headers = ["feature group", "primary key", "event time", "features", "state"]
        title = f"FeatureStore {self.address}: {count(len(rows), 'feature group')}"
        return f"{title}\n{text_table(headers, rows)}" if rows else title

    def _repr_html_(self) -> str:
        headers = ["feature group", "primary key", "event time", "features", "state"]
        rows = self._described() if self._finalizer.alive else []
        return html_table(f"FeatureStore {self.address}", headers, rows)


def _close(platform: _core.Platform, streams: weakref.WeakSet[StreamingQuery]) -> None:
    """Closes a store that nobody closed: it was collected, or the interpreter ends."""
    stop_all(list(streams), timeout_s=_FORGOTTEN_STREAMS_END_S)
    # Nobody is left to tell, and a forked child has nothing of its own to close.
    with contextlib.suppress(TwinfoldError):
        platform.close()
