"""What became of the rows of a feature group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twinfold.dataframes import DataFrameType, from_rows
from twinfold.exceptions import InvalidDefinitionError
from twinfold.group_definition import GroupDefinition
from twinfold.quarantine import QuarantinedRow
from twinfold.receipt import Receipt
from twinfold.times import Time, commit_or_micros

if TYPE_CHECKING:
    from twinfold import _shapes
    from twinfold.feature_store import FeatureStore


class GroupHistory(GroupDefinition):
    """Commits of a feature group and changes between them, its progress, its quarantine."""

    def __init__(
        self,
        store: FeatureStore,
        *,
        definition: _shapes.GroupDict | None = None,
        pending: _shapes.GroupSpecDict | None = None,
    ) -> None:
        super().__init__(definition=definition, pending=pending)
        self._store = store

    def read_changes(
        self,
        *,
        after_commit: int | Time | None = None,
        up_to_commit: int | Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> Any:
        """What the history gained between two commits, deletes included, as it was written.

        Parameters
        ----------
        after_commit
            The last commit that is not included: its id, or a time, for the last commit at that
            time. Event times do not matter here. When not given, everything from the beginning.
        up_to_commit
            The last commit that is included, in the same way; when not given, the newest.
        dataframe_type
            ``pandas``, ``polars`` or ``arrow``.

        Returns
        -------
        dataframe
            The features, then ``_event_time`` and ``_change_type``: ``upsert``, or ``delete`` for
            a row that has its key alone. Rows of one key are in the order of writing.

        Examples
        --------
        >>> before = max(weather.commit_details())
        >>> weather.commit_delete_record({"origin": ["EWR"]}).wait()
        >>> weather.read_changes(after_commit=before)[["origin", "_change_type"]].values.tolist()
        [['EWR', 'delete']]
        """
        self._created()
        found = self._store._platform.read_changes(
            self.name,
            self.version,
            *commit_or_micros(after_commit, "after_commit"),
            *commit_or_micros(up_to_commit, "up_to_commit"),
        )
        return from_rows(found, dataframe_type)

    def commit_details(self, *, limit: int | None = None) -> dict[int, dict[str, Any]]:
        """The commits of the history, the newest first.

        Parameters
        ----------
        limit
            At most so many; all when not given.

        Returns
        -------
        dict
            Per commit id: ``committed_at``, ``rows_upserted``, ``rows_deleted``, ``bytes`` and
            ``positions`` (per partition of the log, the first offset not included).

        Examples
        --------
        >>> newest = weather.commit_details(limit=1)
        >>> [commit["rows_upserted"] for commit in newest.values()]
        [4]
        """
        self._created()
        if limit is not None and limit < 1:
            raise InvalidDefinitionError(f"limit: wanted a positive number, found {limit}")
        found = self._store._platform.commits(self.name, self.version, limit)
        return {
            commit["id"]: {key: value for key, value in commit.items() if key != "id"}
            for commit in found
        }

    def ingest_progress(self) -> _shapes.ProgressDict:
        """Per partition, how far the log reaches and how far each store has come."""
        return self._store._platform.progress(self.name, self.version)

    def quarantine(self, *, limit: int = 100) -> list[QuarantinedRow]:
        """Rows that could not be applied and were not replayed yet."""
        found = self._store._platform.quarantined(self.name, self.version, limit)
        return [QuarantinedRow(**row) for row in found]

    def replay(self, rows: Sequence[QuarantinedRow] | None = None) -> Receipt:
        """Append quarantined rows again as they were; those that are still bad come back.

        Parameters
        ----------
        rows
            Some of :meth:`quarantine`; every one when not given.
        """
        if rows is not None and not rows:
            raise InvalidDefinitionError("replay: wanted at least one row, found none")
        positions = [(row.partition, row.offset) for row in rows or ()]
        core = self._store._platform.replay(self.name, self.version, positions)
        return Receipt(core, online_enabled=self.online_enabled)
