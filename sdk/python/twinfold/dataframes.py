"""Rows on their way in and out: whatever speaks Arrow, pandas, and plain Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union, cast, runtime_checkable

import pyarrow as pa

from twinfold import _core
from twinfold.exceptions import InvalidDefinitionError, SchemaMismatchError

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class ArrowStreamExportable(Protocol):
    """Anything that hands out its rows through the Arrow C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


Rows = Union[ArrowStreamExportable, Mapping[str, Any], Sequence[Mapping[str, Any]]]
"""Rows as a user has them: a dataframe of pandas, polars, pyarrow or DuckDB, a dict of columns, a
list of dicts.
"""

DataFrameType = Literal["pandas", "polars", "arrow"]


def to_rows(data: Rows, schema: Callable[[], pa.Schema | None] | None = None) -> _core.Rows:
    """Rows for the platform. ``schema`` helps where Python objects leave their type open.

    A pandas index whose levels have names becomes columns; one without names is left out. A NaN in
    a pandas column is a missing value; from anywhere else it is a NaN.
    """
    if isinstance(data, _core.Rows):
        return data
    if _is_pandas(data):
        data = _from_pandas(cast("pd.DataFrame", data), schema)
    elif not isinstance(data, ArrowStreamExportable):
        data = _from_python(data, schema)
    return _core.Rows.from_arrow(data)


def _is_pandas(data: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _fields(schema: Callable[[], pa.Schema | None] | None) -> dict[str, pa.DataType]:
    found = schema() if schema is not None else None
    return {} if found is None else {field.name: field.type for field in found}


def _from_pandas(frame: pd.DataFrame, schema: Callable[[], pa.Schema | None] | None) -> pa.Table:
    frame = _with_index_as_columns(frame)
    for position, name in enumerate(frame.columns):
        if not isinstance(name, str):
            raise SchemaMismatchError(
                f"column {position} of the dataframe is named {name!r}; wanted a string",
                feature=str(name),
                found=type(name).__name__,
                wanted="string",
            )
        if frame.columns.get_loc(name) != position:
            raise SchemaMismatchError(
                f"feature `{name}`: the dataframe has two columns of this name",
                feature=name,
                found="two columns",
                wanted="one",
            )
    holds_objects = [name for name in frame.columns if frame[name].dtype == object]
    wanted = _fields(schema) if holds_objects else {}
    columns = {
        name: _array(name, frame[name], wanted.get(name) if name in holds_objects else None)
        for name in frame.columns
    }
    return pa.table(columns)


def _with_index_as_columns(frame: pd.DataFrame) -> pd.DataFrame:
    named = [name for name in frame.index.names if name is not None]
    if not named:
        return frame
    for name in named:
        if name in frame.columns:
            raise SchemaMismatchError(
                f"feature `{name}` is a column of the dataframe and a level of its index; "
                "rename or drop one of them",
                feature=str(name),
                found="column and index level",
                wanted="one of them",
            )
    return frame.reset_index(level=named)


def _from_python(data: Any, schema: Callable[[], pa.Schema | None] | None) -> pa.Table:
    if isinstance(data, Mapping):
        columns = dict(data)
    elif isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        names = dict.fromkeys(name for row in data for name in row)
        columns = {name: [row.get(name) for row in data] for name in names}
    else:
        hint = "; call .collect() first" if hasattr(data, "collect") else ""
        raise InvalidDefinitionError(
            "wanted a dataframe (pandas, polars, pyarrow or anything else that exports Arrow), "
            f"a dict of columns or a list of dicts, found {type(data).__name__}{hint}"
        )
    wanted = _fields(schema)
    arrays = {name: _array(name, values, wanted.get(name)) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidDefinitionError(f"the columns differ in length: {lengths}")
    return pa.table(arrays)


def _array(name: str, values: Any, wanted: pa.DataType | None) -> Any:
    """One Arrow column; where its values leave the type open, made as the feature wants it."""
    try:
        array = pa.array(values, from_pandas=_is_pandas_column(values))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        if wanted is None:
            raise _mixed(name, values, None) from None
        try:
            return pa.array(values, type=wanted, from_pandas=_is_pandas_column(values))
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            raise _mixed(name, values, wanted) from None
    if wanted is None or array.type == wanted or not _is_open(array.type, wanted):
        return array
    try:
        return pa.array(values, type=wanted, from_pandas=_is_pandas_column(values))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # The platform says what is wrong with the column as it is.
        return array


def _is_pandas_column(values: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.Series)


def _is_open(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Python values that Arrow took for ``found`` may as well be ``wanted``."""
    types = pa.types
    if types.is_integer(found):
        wider = (types.is_integer, types.is_floating, types.is_decimal)
        return any(is_wider(wanted) for is_wider in wider)
    return bool(
        types.is_null(found)
        or types.is_nested(found)
        or (types.is_floating(found) and types.is_floating(wanted))
        or (types.is_decimal(found) and types.is_decimal(wanted))
        or (types.is_timestamp(found) and types.is_timestamp(wanted))
    )


def _mixed(name: str, values: Any, wanted: pa.DataType | None) -> SchemaMismatchError:
    """The error for a column that holds values of several types: the first odd one out."""
    first: type | None = None
    for row, value in enumerate(values):
        if value is None or value != value:
            continue
        if first is None:
            first = type(value)
        elif type(value) is not first:
            goal = str(wanted) if wanted is not None else f"{first.__name__} as in the rows before"
            found = f"{type(value).__name__} {value!r}"
            return SchemaMismatchError(
                f"feature `{name}`: found {found}, wanted {goal} (row {row})",
                feature=name,
                found=found,
                wanted=goal,
                row=row,
            )
    kind = first.__name__ if first is not None else "nothing"
    goal = str(wanted) if wanted is not None else "a type that Arrow knows"
    return SchemaMismatchError(
        f"feature `{name}`: found values of type {kind}, wanted {goal}",
        feature=name,
        found=kind,
        wanted=goal,
    )


def from_rows(rows: _core.Rows, dataframe_type: DataFrameType) -> Any:
    """Rows as a dataframe of the kind that is wanted."""
    if dataframe_type == "arrow":
        return pa.table(rows)
    if dataframe_type == "pandas":
        return pa.table(rows).to_pandas(maps_as_pydicts="strict")
    if dataframe_type == "polars":
        import polars

        return polars.DataFrame(rows)
    raise InvalidDefinitionError(
        f"dataframe_type: wanted 'pandas', 'polars' or 'arrow', found {dataframe_type!r}"
    )
