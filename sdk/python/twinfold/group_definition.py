"""What a feature group is, before anything is read or written."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from twinfold.columns import mismatch
from twinfold.display import count, html_table, text_table
from twinfold.exceptions import InvalidDefinitionError, NotFoundError, UnknownFeatureError
from twinfold.feature import Feature, GroupRef
from twinfold.times import span_micros

if TYPE_CHECKING:
    from twinfold import _core, _shapes

_HEADERS = ["feature", "type", "role", "nullable", "default", "description"]
_COMPARED = {
    "primary_key": "primary key",
    "event_time": "event time",
    "ttl_us": "ttl",
    "online_enabled": "online_enabled",
    "partitions": "partitions",
}


class GroupDefinition:
    """Name, key and features of a feature group; each feature is an attribute or an item of it."""

    def __init__(
        self,
        *,
        definition: _shapes.GroupDict | None = None,
        pending: _shapes.GroupSpecDict | None = None,
    ) -> None:
        self._definition = definition
        self._pending = pending

    @property
    def _spec(self) -> _shapes.GroupSpecDict | _shapes.GroupDict:
        spec = self._definition or self._pending
        assert spec is not None
        return spec

    def _created(self) -> _shapes.GroupDict:
        if self._definition is None:
            raise NotFoundError(
                f"feature group `{self.ref}` is not created yet: its features are taken from the "
                "first insert",
                what="feature group",
                name=str(self.ref),
            )
        return self._definition

    @property
    def name(self) -> str:
        """The name."""
        return self._spec["name"]

    @property
    def version(self) -> int:
        """The version, counted from 1."""
        return self._spec["version"]

    @property
    def ref(self) -> GroupRef:
        """Name and version."""
        return GroupRef(self.name, self.version)

    @property
    def primary_key(self) -> list[str]:
        """The features that identify an entity."""
        return list(self._spec["primary_key"])

    @property
    def event_time(self) -> str | None:
        """The feature that says when a row became true."""
        return self._spec["event_time"]

    @property
    def features(self) -> list[Feature]:
        """Every feature, in order; none before the group was created."""
        return [Feature._from_core(feature, self.ref) for feature in self._spec["features"]]

    @property
    def ttl(self) -> timedelta | None:
        """For how long after its event time a row is readable."""
        ttl_us = self._spec["ttl_us"]
        return None if ttl_us is None else timedelta(microseconds=ttl_us)

    @property
    def online_enabled(self) -> bool:
        """Whether the newest rows are kept for serving."""
        return self._spec["online_enabled"]

    @property
    def partitions(self) -> int | None:
        """Of the log; ``None`` when the platform shall choose at the first insert."""
        return self._spec["partitions"]

    @property
    def description(self) -> str:
        """What it is, for people."""
        return self._spec["description"]

    @property
    def tags(self) -> dict[str, str]:
        """Whatever was attached to it."""
        return dict(self._spec["tags"])

    @property
    def state(self) -> str:
        """``creating``, ``active``, ``failed`` or ``deleting``; ``new`` before the first insert."""
        return "new" if self._definition is None else self._definition["state"]

    def __getitem__(self, name: str) -> Feature:
        for feature in self._spec["features"]:
            if feature["name"] == name:
                return Feature._from_core(feature, self.ref)
        known = [feature["name"] for feature in self._spec["features"]]
        raise UnknownFeatureError(
            f"feature `{name}` does not exist in `{self.ref}`; it has {', '.join(known)}",
            feature=name,
            known=known,
        )

    def __getattr__(self, name: str) -> Feature:
        if not name.startswith("_"):
            try:
                return self[name]
            except UnknownFeatureError as error:
                raise AttributeError(str(error)) from None
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(feature["name"] for feature in self._spec["features"])]

    def _described(self) -> list[list[Any]]:
        rows = []
        for feature in self._spec["features"]:
            roles = []
            if feature["name"] in self.primary_key:
                roles.append("primary key")
            if feature["name"] == self.event_time:
                roles.append("event time")
            rows.append(
                [
                    feature["name"],
                    feature["type"],
                    ", ".join(roles),
                    feature["nullable"],
                    feature["default"],
                    feature["description"],
                ]
            )
        return rows

    def _title(self) -> str:
        parts = [self.state, "online" if self.online_enabled else "offline only"]
        if self.ttl is not None:
            parts.append(f"ttl {self.ttl}")
        if self.partitions is not None:
            parts.append(count(self.partitions, "partition"))
        return f"FeatureGroup {self.ref}: {', '.join(parts)}"

    def __repr__(self) -> str:
        if self._definition is None:
            return f"{self._title()}\n  features are taken from the first insert"
        return f"{self._title()}\n{text_table(_HEADERS, self._described())}"

    def _repr_html_(self) -> str:
        return html_table(self._title(), _HEADERS, self._described())


def asked_for(
    primary_key: list[str], event_time: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What a group that may be there already is asked for with; the rest may be as it is."""
    asked: dict[str, Any] = {"primary_key": primary_key, "event_time": event_time}
    if options.get("ttl") is not None:
        asked["ttl_us"] = span_micros(options["ttl"], "ttl")
    for name in ("online_enabled", "partitions"):
        if name in options:
            asked[name] = options[name]
    return asked


def refuse_another(found: _shapes.GroupDict, wanted: Mapping[str, Any]) -> None:
    """Refuse a group that is there, but not as it was asked for."""
    there: Mapping[str, Any] = found
    asked = [name for name in _COMPARED if name in wanted]
    if wanted.get("partitions") is None:
        # The platform chooses how many.
        asked = [name for name in asked if name != "partitions"]
    other = [name for name in asked if there[name] != wanted[name]]
    if other:
        raise InvalidDefinitionError(
            f"feature group `{GroupRef(found['name'], found['version'])}` exists with "
            f"{_listed(there, other)}; wanted {_listed(wanted, other)}"
        )


def refuse_difference(found: _shapes.GroupDict, difference: str | None) -> None:
    """Refuse a group whose features are not those that it was asked for with."""
    if difference is not None:
        raise InvalidDefinitionError(
            f"feature group `{GroupRef(found['name'], found['version'])}` exists with other "
            f"features: {difference}"
        )


def check_options(create: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that ``create`` does not take, also when nothing is to be created."""
    for name in options:
        if name not in inspect.signature(create).parameters:
            raise TypeError(f"unexpected keyword argument {name!r}")


def _listed(spec: Mapping[str, Any], names: list[str]) -> str:
    def shown(name: str) -> Any:
        value = spec[name]
        is_span = name == "ttl_us" and value is not None
        return timedelta(microseconds=value) if is_span else value

    return ", ".join(f"{_COMPARED[name]} {shown(name)}" for name in names)


def check_first_rows(rows: _core.Rows, spec: _shapes.GroupSpecDict) -> None:
    """Refuse, before the group is made with the types of these rows, what it would refuse after."""
    types = {feature["name"]: feature["type"] for feature in spec["features"]}
    required = {*spec["primary_key"], spec["event_time"]}
    for name, column in zip(rows.column_names, pa.table(rows).columns, strict=True):
        if name in required and column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            raise mismatch(name, "null", types[name], row)
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            _refuse_parts_of_microseconds(name, column)


def _refuse_parts_of_microseconds(name: str, column: pa.ChunkedArray[Any]) -> None:
    nanoseconds = column.cast(pa.int64())
    whole = pc.multiply(pc.divide(nanoseconds, 1_000), 1_000)
    row = pc.index(pc.not_equal(nanoseconds, whole), True).as_py()
    if row >= 0:
        raise mismatch(name, f"{column[row].value} ns", "a timestamp of whole microseconds", row)
