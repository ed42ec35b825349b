"""Feature vectors: the newest features of entities, in the order that a model was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from twinfold import _core
from twinfold.arrow_types import arrow_type
from twinfold.columns import check_column, mismatch
from twinfold.dataframes import from_rows, imported
from twinfold.exceptions import InvalidDefinitionError

if TYPE_CHECKING:
    from typing_extensions import Self

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


class VectorSource:
    """What feature vectors are read through: a feature view, or a training dataset."""

    _vector_reader: _core.VectorReader | None = None

    def _open_reader(self) -> _core.VectorReader:
        raise NotImplementedError

    def _reader(self) -> _core.VectorReader:
        if self._vector_reader is None:
            self._vector_reader = self._open_reader()
        return self._vector_reader

    def init_serving(self) -> Self:
        """Make the plan for feature vectors now, so that the first one is as fast as the others."""
        self._reader()
        return self

    @property
    def serving_keys(self) -> list[str]:
        """What an entry must have."""
        return [name for name, _ in self._reader().serving_keys]

    def _read_one(
        self,
        entry: Entry,
        passed_features: Entry | None,
        return_type: ReturnType,
        allow_missing: bool,  # noqa: FBT001 - by position, because every call of a vector pays for it
    ) -> Any:
        """One vector, as what is wanted."""
        if return_type == "list":
            reader = self._vector_reader or self._reader()
            return reader.vector(entry, passed_features, allow_missing)
        passed = None if passed_features is None else [passed_features]
        found = self._read_many([entry], passed, return_type, allow_missing)
        return found if return_type in ("pandas", "polars") else found[0]

    def _read_many(
        self,
        entries: Sequence[Entry] | Mapping[str, Sequence[Any]],
        passed_features: Sequence[Entry] | None,
        return_type: ReturnType,
        allow_missing: bool,  # noqa: FBT001 - as above
    ) -> Any:
        """A vector per entry, as what is wanted."""
        reader = self._reader()
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
        if return_type == "list":
            return vectors
        return _converted(vectors, reader.features, return_type)


def _entries(entries: Sequence[Entry] | Mapping[str, Sequence[Any]]) -> list[Entry]:
    """One dict per entity; a dict of columns is turned."""
    if not isinstance(entries, Mapping):
        return list(entries)
    for name, column in entries.items():
        check_column(name, column)
    columns = {name: list(column) for name, column in entries.items()}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise InvalidDefinitionError(f"entries: wanted columns of one length, found {lengths}")
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _converted(
    vectors: list[list[Any]], features: list[tuple[str, str]], return_type: ReturnType
) -> Any:
    if return_type == "dict":
        names = [name for name, _ in features]
        return [dict(zip(names, vector, strict=True)) for vector in vectors]
    if return_type == "numpy":
        return _to_numpy(vectors, features)
    if return_type in ("pandas", "polars"):
        return from_rows(_to_rows(vectors, features), return_type)
    raise InvalidDefinitionError(
        "return_type: wanted 'list', 'dict', 'numpy', 'pandas', 'polars' or 'detailed', "
        f"found {return_type!r}"
    )


def _to_rows(vectors: list[list[Any]], features: list[tuple[str, str]]) -> _core.Rows:
    """Vectors in the types of their features, whatever the values: the types of training data."""
    columns = zip(*vectors, strict=True) if vectors else ([] for _ in features)
    table = {
        name: pa.array(column, type=arrow_type(type_name))
        for (name, type_name), column in zip(features, columns, strict=True)
    }
    return _core.Rows.from_arrow(pa.table(table))


_NUMBERS = ("boolean", "int", "bigint", "float", "double")


def _to_numpy(vectors: list[list[Any]], features: list[tuple[str, str]]) -> Any:
    """Numbers as doubles (null is NaN), else objects; embeddings as arrays of floats."""
    numpy = imported("numpy")
    if all(type_name in _NUMBERS for _, type_name in features):
        _refuse_what_doubles_round(vectors, features)
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


def _refuse_what_doubles_round(vectors: list[list[Any]], features: list[tuple[str, str]]) -> None:
    """An error rather than an array of objects on the day of the first great number.

    A bigint that a double cannot hold names something; it is no quantity for a model.
    """
    for column, (name, type_name) in enumerate(features):
        if type_name != "bigint":
            continue
        for row, vector in enumerate(vectors):
            value = vector[column]
            if value is not None and float(value) != value:
                wanted = "what a double holds exactly; take another return_type, or leave it out"
                raise mismatch(name, f"bigint {value}", wanted, row)
