"""Features that share a primary key."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from twinfold.dataframes import DataFrameType, Rows, from_rows, settled, to_rows, to_text
from twinfold.exceptions import AlreadyExistsError, InvalidDefinitionError, NotFoundError
from twinfold.feature import Feature, Filter, names_of
from twinfold.group_definition import check_first_rows, refuse_another
from twinfold.group_history import GroupHistory
from twinfold.progress import ProgressBar
from twinfold.query import Query, Selection
from twinfold.receipt import Receipt
from twinfold.streaming import StreamingQuery
from twinfold.times import Time, optional_micros

if TYPE_CHECKING:
    from twinfold import _core, _shapes
    from twinfold.feature_store import FeatureStore


class FeatureGroup(GroupHistory):
    """Features with a primary key, an event time, and their two stores.

    Made by :meth:`twinfold.FeatureStore.create_feature_group`, found by
    :meth:`twinfold.FeatureStore.get_feature_group`. A feature is an attribute of its group, or an
    item.

    Examples
    --------
    >>> weather
    FeatureGroup weather_1: active, online, 4 partitions
      feature  type       role         nullable  default  description
      origin   string     primary key  no
      hour     timestamp  event time   no
      temp     double                  yes
      wind     bigint                  yes
    >>> weather.temp
    Feature('temp', 'double')
    """

    @classmethod
    def _from_core(cls, store: FeatureStore, definition: _shapes.GroupDict) -> FeatureGroup:
        return cls(store, definition=definition)

    def insert(
        self,
        rows: Rows,
        *,
        wait: bool = False,
        timeout_s: float | None = 60.0,
        progress: bool | None = None,
    ) -> Receipt:
        """Write rows to both stores.

        All rows are checked before the first is taken in. When this returns they are in the log,
        durably; the stores follow. Of rows with the same key the one with the greatest event time
        is the newest, and of equals the later one. A timestamp without a zone is taken as UTC.

        Parameters
        ----------
        rows
            A dataframe of pandas, polars, pyarrow or anything else that exports Arrow; or a dict of
            columns; or a list of dicts. The first insert gives a group its features if it has none.
        wait
            Whether to wait until the rows are readable in both stores.
        timeout_s
            For how long to wait, in seconds; ``None`` is for ever.
        progress
            Whether to show a bar; when not given, on a terminal if it takes a while.

        Raises
        ------
        SchemaMismatchError
            When a column is missing, unknown or of the wrong type. No row was taken in.
        WaitTimeoutError
            When waiting takes longer. Every row was taken in; the stores follow all the same.

        Examples
        --------
        >>> weather.insert(sample, wait=True).rows
        4
        >>> weather.insert({"origin": ["JFK"], "hour": ["noon"]})
        Traceback (most recent call last):
            ...
        twinfold.exceptions.SchemaMismatchError: feature `hour`: found string, wanted ... (row 0)
        """
        if self._definition is None:
            batches = self._created_for(rows)
        else:
            batches = to_rows(rows, self._arrow_schema)
        with ProgressBar(f"insert into {self.ref}", batches.num_rows, enabled=progress) as bar:
            on_progress = bar.update if bar.enabled else None
            core = self._store._platform.insert(self.name, self.version, batches, on_progress)
        receipt = Receipt(core, online_enabled=self.online_enabled)
        if wait:
            receipt.wait(timeout_s=timeout_s)
        return receipt

    def save(
        self,
        rows: Rows,
        *,
        wait: bool = False,
        timeout_s: float | None = 60.0,
        progress: bool | None = None,
    ) -> Receipt:
        """The same as :meth:`insert`."""
        return self.insert(rows, wait=wait, timeout_s=timeout_s, progress=progress)

    def _created_for(self, rows: Rows) -> _core.Rows:
        """The rows, for the group that another handle made meanwhile, or else for one like them."""
        # Rows may come from code that inserts into a new group itself, so it never runs inside of
        # the lock.
        rows = settled(rows)
        if not self._adopt():
            batches = to_rows(rows)
            with self._store._creating:
                if not self._adopt() and self._create(batches):
                    return batches
        return to_rows(rows, self._arrow_schema)

    def _adopt(self) -> bool:
        """Whether the group is there by now; then this is a handle of it."""
        assert self._pending is not None
        try:
            found = self._store._platform.feature_group(self.name, self.version)
        except NotFoundError:
            return False
        refuse_another(found, self._pending)
        if found["state"] != "active":
            # It is being made: adding nothing waits until its topic and tables are there.
            found = self._store._platform.append_features(self.name, self.version, [])
        self._definition = found
        return True

    def _create(self, rows: _core.Rows) -> bool:
        """Whether it was made here; a group that another process made first is adopted."""
        assert self._pending is not None
        spec: _shapes.GroupSpecDict = {**self._pending, "features": rows.features()}
        check_first_rows(rows, spec)
        try:
            self._definition = self._store._platform.create_feature_group(spec)
        except AlreadyExistsError:
            if not self._adopt():
                raise
            return False
        return True

    def _arrow_schema(self) -> pa.Schema | None:
        if self._definition is None:
            return None
        return pa.table(self._store._platform.arrow_schema(self.name, self.version)).schema

    def insert_stream(
        self,
        rows: Iterable[Rows] | AsyncIterable[Rows],
        *,
        query_name: str | None = None,
    ) -> StreamingQuery:
        """Write dataframes as they come, in the background.

        Parameters
        ----------
        rows
            An iterable or async iterable of what :meth:`insert` takes. An async one is iterated on
            an event loop of its own, in the query's thread: it must not await what belongs to
            another loop, such as a queue, a lock or a session that your coroutines share. Where it
            does, iterate yourself and ``await asyncio.to_thread(group.insert, frame)``.
        query_name
            What the query calls itself.

        Examples
        --------
        >>> query = weather.insert_stream(iter([sample, sample]))
        >>> query.await_termination(timeout_s=60)
        True
        >>> query.status["rows"]
        8
        """
        return StreamingQuery._started(self, rows, query_name or f"stream into {self.ref}")

    def commit_delete_record(self, keys: Rows, *, at: Time | None = None) -> Receipt:
        """Delete the rows of these keys from both stores.

        Hidden is every row of a key with an event time not after ``at``; a later row brings the key
        back. Reading as of an earlier commit still shows what was there.

        Parameters
        ----------
        keys
            The primary key's columns; others are ignored.
        at
            The time of the delete; now when not given.

        Examples
        --------
        >>> receipt = weather.commit_delete_record({"origin": ["EWR"]})
        >>> receipt.wait()
        >>> sorted(weather.read(online=True)["origin"])
        ['JFK', 'LGA']
        """
        self._created()
        batches = to_rows(keys, self._arrow_schema)
        at_us = optional_micros(at, "at")
        core = self._store._platform.delete(self.name, self.version, batches, at_us)
        return Receipt(core, online_enabled=self.online_enabled)

    def append_features(self, features: Feature | Sequence[Feature]) -> FeatureGroup:
        """Add features in place; each is nullable or has a default.

        Examples
        --------
        >>> weather.append_features([Feature("humid", "double", default_value=0.5)])["humid"]
        Feature('humid', 'double', default_value=0.5)
        """
        self._created()
        added = [features] if isinstance(features, Feature) else list(features)
        self._definition = self._store._platform.append_features(
            self.name, self.version, [feature._to_core() for feature in added]
        )
        return self

    def refresh(self) -> FeatureGroup:
        """Read the definition again, after someone else may have changed it."""
        self._definition = self._store._platform.feature_group(self.name, self.version)
        return self

    def update(
        self, *, description: str | None = None, tags: Mapping[str, str] | None = None
    ) -> FeatureGroup:
        """Change what people are told about the group; what is not given stays.

        Examples
        --------
        >>> weather.update(description="as seen from the tower", tags={"team": "sky"}).tags
        {'team': 'sky'}
        """
        self._created()
        self._definition = self._store._platform.describe_feature_group(
            self.name, self.version, description, None if tags is None else dict(tags)
        )
        return self

    def delete(self, *, force: bool = False) -> None:
        """Remove the group with everything that its stores hold of it.

        Parameters
        ----------
        force
            Also while feature views or training datasets use it: such a view can then be neither
            read nor served, and such a dataset can still be read, but not verified.

        Raises
        ------
        InUseError
            When something uses the group and ``force`` is not set.
        """
        self._store._platform.delete_feature_group(self.name, self.version, force)

    def select_all(
        self, *, include_primary_key: bool = True, include_event_time: bool = True
    ) -> Query:
        """A query for every feature."""
        left_out: set[str | None] = set()
        if not include_primary_key:
            left_out.update(self.primary_key)
        if not include_event_time:
            left_out.add(self.event_time)
        return self.select_except([name for name in left_out if name is not None])

    def select(self, features: str | Feature | Sequence[str | Feature]) -> Query:
        """A query for some features.

        Examples
        --------
        >>> weather.select(["origin", weather.temp]).columns
        ['origin', 'temp']
        """
        self._created()
        names = tuple(self[name].name for name in names_of(features))
        return Query(self._store, Selection(self, names))

    def select_except(self, features: str | Feature | Sequence[str | Feature]) -> Query:
        """A query for every feature but some."""
        left_out = names_of(features)
        for name in left_out:
            self[name]
        return self.select([f.name for f in self.features if f.name not in left_out])

    def filter(self, condition: Filter) -> Query:
        """A query for every feature of the rows of which the condition is true."""
        return self.select_all().filter(condition)

    def as_of(self, time: Time | None = None, *, commit_id: int | None = None) -> Query:
        """A query for what was known at a time, or as a commit left it."""
        return self.select_all().as_of(time, commit_id=commit_id)

    def read(
        self,
        *,
        online: bool = False,
        start_time: Time | None = None,
        end_time: Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> Any:
        """The rows of the group.

        Parameters
        ----------
        online
            ``False`` reads history: every row that was true at some time. ``True`` reads the online
            store: the newest row of each key, without deleted and expired ones.
        start_time, end_time
            Of history, rows from the one and before the other.
        dataframe_type
            ``pandas``, ``polars`` or ``arrow``.
        """
        self._created()
        if not online:
            return self.select_all().read(
                start_time=start_time, end_time=end_time, dataframe_type=dataframe_type
            )
        if start_time is not None or end_time is not None:
            raise InvalidDefinitionError(
                "start_time and end_time choose from history; found online=True"
            )
        found = self._store._platform.read_online(self.name, self.version, None)
        return from_rows(found, dataframe_type)

    def show(self, n: int = 5, *, online: bool = False) -> None:
        """Print the first rows."""
        self._created()
        if online:
            found = self._store._platform.read_online(self.name, self.version, n)
            print(to_text(found))
        else:
            self.select_all().show(n)
