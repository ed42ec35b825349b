"""What to read: features of a group, joined point in time with features of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Literal

from twinfold.dataframes import DataFrameType, Rows, from_rows, to_rows, to_text
from twinfold.display import html_table, text_table
from twinfold.exceptions import InvalidDefinitionError, UnknownFeatureError
from twinfold.feature import Column, Feature, Filter, GroupRef, check_filter, describe, names_of
from twinfold.times import Time, micros, optional_micros

if TYPE_CHECKING:
    from twinfold import _core, _shapes
    from twinfold.feature_group import FeatureGroup
    from twinfold.feature_store import FeatureStore

JoinType = Literal["left", "inner"]


@dataclass(frozen=True)
class Selection:
    """Features of one group, as they were known at some commit or time."""

    group: FeatureGroup
    features: tuple[str, ...]
    commit: int | None = None
    time_us: int | None = None

    @property
    def ref(self) -> GroupRef:
        """Name and version of the group."""
        return self.group.ref

    def _to_core(self) -> _shapes.SelectionDict:
        return {
            "group": (self.group.name, self.group.version),
            "features": list(self.features),
            "as_of_commit": self.commit,
            "as_of_us": self.time_us,
        }

    def _describe_as_of(self) -> str:
        if self.commit is not None:
            return f"commit {self.commit}"
        return "" if self.time_us is None else f"{self.time_us:,} µs"


@dataclass(frozen=True)
class Join:
    """A look-up of another group for each row of the left side."""

    right: Selection
    on: tuple[tuple[str, str], ...]
    inner: bool
    prefix: str | None

    def columns(self) -> list[tuple[str, str]]:
        """Per feature of the right side, its column in the result and its name."""
        return [((self.prefix or "") + name, name) for name in self.right.features]


@dataclass(frozen=True)
class Query:
    """A point-in-time correct read. Each method returns a new query; none changes this one.

    Start from :meth:`twinfold.FeatureGroup.select_all` and its siblings.

    Examples
    --------
    >>> query = flights.select(["flight", "delayed"]).join(weather.select(["temp"]))
    >>> query.columns
    ['flight', 'delayed', 'temp']
    >>> print(query.filter(flights.delayed == True).read().to_string(index=False))
     flight  delayed  temp
          2     True  12.5
    """

    store: FeatureStore
    left: Selection
    joins: tuple[Join, ...] = ()
    condition: dict[str, Any] | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the result's columns, in order."""
        return list(self._features_by_column())

    def _features_by_column(self) -> dict[str, Feature]:
        found = {name: self.left.group[name] for name in self.left.features}
        for join in self.joins:
            found.update({column: join.right.group[name] for column, name in join.columns()})
        return found

    def join(
        self,
        sub_query: Query,
        on: str | Sequence[str] | None = None,
        *,
        left_on: str | Sequence[str] | None = None,
        right_on: str | Sequence[str] | None = None,
        join_type: JoinType = "left",
        prefix: str | None = None,
    ) -> Query:
        """Look up features of another group for each row.

        Found is the row of the other group with the greatest event time not after the row's own:
        what was known then.

        Parameters
        ----------
        sub_query
            A selection of one group.
        on
            The columns that hold the other group's key; when not given, by the same names.
        left_on, right_on
            The same where the names differ: columns of this side, and the key features they hold.
        join_type
            ``left`` keeps rows without a match, ``inner`` drops them.
        prefix
            Put before the names of the other group's features.
        """
        check_query(sub_query, self.store)
        if sub_query.joins or sub_query.condition is not None:
            found = "joins: join one after the other"
            if not sub_query.joins:
                found = "a filter: filter the result of the join"
            raise InvalidDefinitionError(
                f"the other side of a join is a selection of one group; found one with {found}"
            )
        if join_type not in ("left", "inner"):
            raise InvalidDefinitionError(
                f"join_type: wanted 'left' or 'inner', found {join_type!r}"
            )
        right = sub_query.left
        pairs = _key_pairs(right, on, left_on, right_on)
        if not prefix:
            right = self._without_repeated_keys(right, pairs)
        joined = Join(right, tuple(pairs), join_type == "inner", prefix or None)
        return replace(self, joins=(*self.joins, joined))

    def _without_repeated_keys(self, right: Selection, pairs: list[tuple[str, str]]) -> Selection:
        """Leaves out keys that the result has already, by the same name with the same values."""
        repeated = {key for column, key in pairs if column == key and key in self.columns}
        return replace(right, features=tuple(f for f in right.features if f not in repeated))

    def filter(self, condition: Filter) -> Query:
        """Keep the rows of which the condition is true.

        A feature of a joined group stands for its column, whatever the prefix.
        """
        made = check_filter(condition)._to_core(self._resolve)
        if self.condition is not None:
            made = {"op": "and", "left": self.condition, "right": made}
        return replace(self, condition=made)

    def _resolve(self, feature: Feature) -> Column:
        columns = self._features_by_column()
        if feature._group is None:
            named = columns.get(feature.name)
            if named is not None:
                return Column(feature.name, named.type)
        else:
            for column, candidate in columns.items():
                if candidate._group == feature._group and candidate.name == feature.name:
                    return Column(column, candidate.type)
        owner = f"{feature._group}." if feature._group else ""
        raise UnknownFeatureError(
            f"feature `{owner}{feature.name}` is not selected by the query; "
            f"it has {', '.join(columns)}",
            feature=feature.name,
            known=list(columns),
        )

    def as_of(self, time: Time | None = None, *, commit_id: int | None = None) -> Query:
        """Read what was known at a time, or as a commit left it.

        Parameters
        ----------
        time
            Every group of the query is read as it was committed then.
        commit_id
            A commit of the query's group; for queries without joins, because every group counts
            its own commits.
        """
        if (time is None) == (commit_id is None):
            raise InvalidDefinitionError("as_of: wanted either a time or a commit_id")
        if commit_id is not None and self.joins:
            raise InvalidDefinitionError(
                "as_of: a commit_id belongs to one group; give each side its own before the join, "
                "or a time"
            )
        time_us = None if time is None else micros(time, "as_of")
        joins = tuple(
            replace(join, right=replace(join.right, commit=None, time_us=time_us))
            for join in self.joins
        )
        left = replace(self.left, commit=commit_id, time_us=time_us)
        return replace(self, left=left, joins=joins)

    def read(
        self,
        *,
        spine: Rows | None = None,
        event_time: str | EllipsisType | None = ...,
        start_time: Time | None = None,
        end_time: Time | None = None,
        dataframe_type: DataFrameType = "pandas",
    ) -> Any:
        """Run the query over history.

        Parameters
        ----------
        spine
            A dataframe that takes the place of the left group: the keys to look up, the times to
            look at, and whatever else shall come along.
        event_time
            The spine's column of times; when not given, the one that is named like the left group's
            event time. Without that one it must be given if any group of the query has an event
            time. ``None`` reads the newest rows, whatever was known when.
        start_time, end_time
            Rows of the left group from the one and before the other.
        dataframe_type
            ``pandas``, ``polars`` or ``arrow`` (a ``pyarrow.Table``).
        """
        rows, times = self._spine(spine, event_time)
        found = self.store._platform.read(
            self._to_core(),
            rows,
            times,
            optional_micros(start_time, "start_time"),
            optional_micros(end_time, "end_time"),
            None,
        )
        return from_rows(found, dataframe_type)

    def _spine(
        self, spine: Rows | None, event_time: str | EllipsisType | None
    ) -> tuple[_core.Rows | None, str | None]:
        """The spine as rows, and its column of times."""
        if spine is None:
            return None, None
        rows = to_rows(spine, self.left.group._arrow_schema)
        return rows, self._spine_time(rows, event_time)

    def _spine_time(self, spine: _core.Rows, event_time: str | EllipsisType | None) -> str | None:
        """The spine's column of times. That it lacks one may be a slip, and leak the future."""
        if not isinstance(event_time, EllipsisType):
            return event_time
        wanted = self.left.group.event_time
        if wanted in spine.column_names:
            return wanted
        timed = [side.ref for side in self._groups() if side.group.event_time is not None]
        if not timed:
            return None
        lacking = f"the spine has no column `{wanted}`, the event time of `{self.left.ref}`"
        if wanted is None:
            lacking = (
                f"the spine does not say which column has its times, for `{self.left.ref}`, which "
                f"it stands for, has no event time, but `{timed[0]}` has one"
            )
        raise InvalidDefinitionError(
            f"{lacking}; it has {', '.join(spine.column_names)}: name the column with event_time=, "
            "or pass event_time=None to read the newest rows"
        )

    def show(self, n: int = 5) -> None:
        """Print the first rows."""
        found = self.store._platform.read(self._to_core(), None, None, None, None, n)
        print(to_text(found))

    def _to_core(self) -> _shapes.QueryDict:
        return {
            "left": self.left._to_core(),
            "joins": [
                {
                    "right": join.right._to_core(),
                    "on": list(join.on),
                    "inner": join.inner,
                    "prefix": join.prefix,
                }
                for join in self.joins
            ],
            "filter": self.condition,
        }

    @classmethod
    def _from_core(cls, store: FeatureStore, query: _shapes.QueryDict) -> Query:
        def selection(found: _shapes.SelectionDict) -> Selection:
            group = store.get_feature_group(found["group"][0], found["group"][1])
            features = tuple(found["features"])
            return Selection(group, features, found["as_of_commit"], found["as_of_us"])

        joins = tuple(
            Join(selection(join["right"]), tuple(join["on"]), join["inner"], join["prefix"])
            for join in query["joins"]
        )
        return cls(store, selection(query["left"]), joins, query["filter"])

    def _groups(self) -> list[Selection]:
        return [self.left, *(join.right for join in self.joins)]

    def _described(self) -> list[list[Any]]:
        left = self.left
        rows = [[str(left.ref), "", ", ".join(left.features), left._describe_as_of()]]
        for join in self.joins:
            on = ", ".join(a if a == b else f"{a} = {b}" for a, b in join.on)
            columns = ", ".join(column for column, _ in join.columns())
            kind = "inner join" if join.inner else "left join"
            how = f"{kind} on {on}" if on else kind
            rows.append([str(join.right.ref), how, columns, join.right._describe_as_of()])
        return rows

    def __repr__(self) -> str:
        where = f"\n  where {describe(self.condition)}" if self.condition is not None else ""
        table = text_table(["group", "how", "columns", "as of"], self._described())
        return f"Query\n{table}{where}"

    def _repr_html_(self) -> str:
        where = f", where {describe(self.condition)}" if self.condition is not None else ""
        return html_table("Query" + where, ["group", "how", "columns", "as of"], self._described())


def check_query(query: Any, store: FeatureStore) -> None:
    """Refuse what is not a query, and one that means groups of another connection."""
    if not isinstance(query, Query):
        raise InvalidDefinitionError(
            f"wanted a query, such as group.select_all(); found {type(query).__name__}"
        )
    if query.store is not store:
        raise InvalidDefinitionError(
            f"the query reads feature groups of {query.store.address}; "
            f"wanted those of {store.address}"
        )


def _key_pairs(
    right: Selection,
    on: str | Sequence[str] | None,
    left_on: str | Sequence[str] | None,
    right_on: str | Sequence[str] | None,
) -> list[tuple[str, str]]:
    """(column of the left side, key feature of the right group), one per key feature."""
    if on is not None:
        if left_on is not None or right_on is not None:
            raise InvalidDefinitionError("join: wanted either on, or left_on and right_on")
        return [(name, name) for name in names_of(on)]
    if left_on is None and right_on is None:
        return [(name, name) for name in right.group.primary_key]
    columns = names_of(left_on)
    keys = names_of(right_on) or list(right.group.primary_key)
    if len(columns) != len(keys):
        raise InvalidDefinitionError(
            f"join: left_on has {len(columns)} columns, right_on {len(keys)}; wanted as many"
        )
    return list(zip(columns, keys, strict=True))


def column_types(query: Query) -> Mapping[str, str]:
    """The type of each column of a query's result."""
    return {name: feature.type or "" for name, feature in query._features_by_column().items()}
