"""Feature vectors: the newest features of entities, in the order that a model was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from twinfold.exceptions import InvalidDefinitionError

if TYPE_CHECKING:
    from twinfold import _core

ReturnType = Literal["list", "dict", "numpy", "pandas", "polars", "detailed"]
Entry = dict[str, Any]


@dataclass(frozen=True)
class GroupPresence:
    """What one feature group had for the key.

    Attributes
    ----------
    group, version
        The feature group.
    presence
        ``present`` (a feature may still be null), ``missing`` (no row, or deleted), ``expired``
        (its time to live is over) or ``error``.
    event_time
        When the row became true.
    """

    group: str
    version: int
    presence: str
    event_time: datetime | None


@dataclass(frozen=True)
class FeatureVector:
    """The features of one entity, and where they come from."""

    values: dict[str, Any]
    groups: tuple[GroupPresence, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every group had a row."""
        return all(group.presence == "present" for group in self.groups)


def read_one(
    reader: _core.VectorReader,
    entry: Entry,
    passed_features: Entry | None,
    return_type: ReturnType,
    allow_missing: bool,  # noqa: FBT001 - by position, because every call of a vector pays for it
) -> Any:
    """One vector, as what is wanted."""
    if return_type == "list":
        return reader.vector(entry, passed_features, allow_missing)
    passed = None if passed_features is None else [passed_features]
    found = read_many(reader, [entry], passed, return_type, allow_missing)
    return found if return_type in ("pandas", "polars") else found[0]


def read_many(
    reader: _core.VectorReader,
    entries: Sequence[Entry] | Mapping[str, Sequence[Any]],
    passed_features: Sequence[Entry] | None,
    return_type: ReturnType,
    allow_missing: bool,  # noqa: FBT001 - as above
) -> Any:
    """A vector per entry, as what is wanted."""
    rows = _entries(entries)
    passed = list(passed_features or ())
    if passed and len(passed) != len(rows):
        raise InvalidDefinitionError(
            f"passed_features: wanted one per entry ({len(rows)}), found {len(passed)}"
        )
    if return_type == "detailed":
        names = [name for name, _ in reader.features]
        return [
            FeatureVector(
                dict(zip(names, values, strict=True)),
                tuple(GroupPresence(*group) for group in groups),
            )
            for values, groups in reader.detailed_vectors(rows, passed, allow_missing)
        ]
    vectors = reader.vectors(rows, passed, allow_missing)
    return vectors if return_type == "list" else _converted(vectors, reader.features, return_type)


def _entries(entries: Sequence[Entry] | Mapping[str, Sequence[Any]]) -> list[Entry]:
    """One dict per entity; a dict of columns is turned."""
    if not isinstance(entries, Mapping):
        return list(entries)
    lengths = {len(column) for column in entries.values()}
    if len(lengths) != 1:
        raise InvalidDefinitionError(
            "entries: wanted columns of one length, found "
            + ", ".join(f"{name}: {len(column)}" for name, column in entries.items())
        )
    return [
        dict(zip(entries, values, strict=True)) for values in zip(*entries.values(), strict=True)
    ]


def _converted(
    vectors: list[list[Any]], features: list[tuple[str, str]], return_type: ReturnType
) -> Any:
    names = [name for name, _ in features]
    if return_type == "dict":
        return [dict(zip(names, vector, strict=True)) for vector in vectors]
    if return_type == "numpy":
        return _to_numpy(vectors, features)
    columns = dict(zip(names, map(list, zip(*vectors, strict=True)), strict=True))
    if not vectors:
        columns = {name: [] for name in names}
    if return_type == "pandas":
        import pandas

        return pandas.DataFrame(columns)
    if return_type == "polars":
        import polars

        return polars.DataFrame(columns)
    raise InvalidDefinitionError(
        "return_type: wanted 'list', 'dict', 'numpy', 'pandas', 'polars' or 'detailed', "
        f"found {return_type!r}"
    )


_NUMBERS = ("boolean", "int", "bigint", "float", "double")


def _to_numpy(vectors: list[list[Any]], features: list[tuple[str, str]]) -> Any:
    """Numbers as doubles (null is NaN), else objects; embeddings as arrays of floats."""
    import numpy

    if all(type_name in _NUMBERS for _, type_name in features):
        rows = numpy.array(
            [[numpy.nan if value is None else value for value in vector] for vector in vectors],
            dtype=numpy.float64,
        )
        return rows.reshape(len(vectors), len(features))
    found = numpy.empty((len(vectors), len(features)), dtype=object)
    for row, vector in enumerate(vectors):
        for column, value in enumerate(vector):
            is_embedding = features[column][1].startswith("embedding") and value is not None
            found[row, column] = numpy.array(value, dtype=numpy.float32) if is_embedding else value
    return found
