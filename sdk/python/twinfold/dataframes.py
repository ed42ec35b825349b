"""Rows on their way in and out: whatever speaks Arrow, pandas, and plain Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union, cast, runtime_checkable

import pyarrow as pa

from twinfold import _core
from twinfold.columns import settled as settled_column
from twinfold.columns import to_array
from twinfold.display import text_table
from twinfold.exceptions import InvalidDefinitionError, NotAvailableError, SchemaMismatchError

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

_EXTRAS = {"pandas": "twinfold[pandas]", "polars": "twinfold[polars]"}


def imported(package: str) -> Any:
    """A package that is used where it is installed."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise NotAvailableError(
            f"{package} is not installed: pip install {_EXTRAS.get(package, package)}, or ask for "
            "another type of result"
        ) from None


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


def settled(data: Rows) -> Rows:
    """The rows such that they can be read again: what comes but once is kept."""
    if _is_pandas(data):
        return data
    if isinstance(data, ArrowStreamExportable):
        return to_rows(data)
    if isinstance(data, Mapping):
        return {name: settled_column(name, values) for name, values in data.items()}
    return data


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
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise SchemaMismatchError(
            f"feature `{repeated[0]}`: the dataframe has two columns of this name",
            feature=repeated[0],
            found="two columns",
            wanted="one",
        )
    holds_objects = any(frame[name].dtype == object for name in frame.columns)
    wanted = _fields(schema) if holds_objects else {}
    return pa.table({name: to_array(name, frame[name], wanted.get(name)) for name in frame.columns})


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
    arrays = {name: to_array(name, values, wanted.get(name)) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidDefinitionError(f"the columns differ in length: {lengths}")
    return pa.table(arrays)


def from_rows(rows: _core.Rows, dataframe_type: DataFrameType) -> Any:
    """Rows as a dataframe of the kind that is wanted."""
    if dataframe_type == "arrow":
        return pa.table(rows)
    if dataframe_type == "pandas":
        return _to_pandas(pa.table(rows))
    if dataframe_type == "polars":
        return imported("polars").DataFrame(rows)
    raise InvalidDefinitionError(
        f"dataframe_type: wanted 'pandas', 'polars' or 'arrow', found {dataframe_type!r}"
    )


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """Integers and booleans come in the types of pandas that know what is missing.

    In those of numpy a null makes floats of them, which round what is beyond 2^53, or objects. And
    it is so with and without nulls: else a column that was int64 in training would be Int64 on the
    day of its first null. Floats stay numpy's, where NaN stands for null.
    """
    pandas = imported("pandas")
    types = {
        pa.int32(): pandas.Int32Dtype(),
        pa.int64(): pandas.Int64Dtype(),
        pa.bool_(): pandas.BooleanDtype(),
    }
    # The integers inside of lists keep their nulls as objects.
    return table.to_pandas(
        types_mapper=types.get, integer_object_nulls=True, maps_as_pydicts="strict"
    )


def to_text(rows: _core.Rows) -> str:
    """Rows for a terminal."""
    table = pa.table(rows)
    columns = (column.to_pylist() for column in table.columns)
    return text_table(table.column_names, zip(*columns, strict=True), indent=0)
