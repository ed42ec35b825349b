"""One column on its way in: what has a type keeps it, Python objects become what is wanted."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Mapping, Sized
from datetime import date, datetime, time, timezone
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from twinfold.exceptions import SchemaMismatchError


def check_column(name: str, values: Any) -> None:
    """Refuse a single value in the place of a column: of a text every letter would be a row."""
    if not isinstance(values, (str, bytes, bytearray, Mapping)):
        try:
            iter(values)
        except TypeError:
            pass
        else:
            return
    found = f"{type(values).__name__} {reprlib.repr(values)}"
    raise SchemaMismatchError(
        f"column `{name}`: wanted a column of values, found {found}",
        feature=name,
        found=found,
        wanted="a column of values",
    )


def settled(name: str, values: Any) -> Any:
    """The column such that it can be read again: what comes but once is kept."""
    check_column(name, values)
    if hasattr(values, "__arrow_c_stream__") and not _is_series(values):
        return pa.chunked_array(values)
    return values if isinstance(values, Sized) else list(values)


def to_array(name: str, values: Any, wanted: pa.DataType | None) -> Any:
    """One Arrow column. ``wanted`` is the type of its feature, where that is known.

    Only Python objects, which leave their type open, are read as ``wanted``. An array that has a
    type is passed on with it, and the platform says whether it fits: never is a column rounded or
    cut on its way there.
    """
    values = settled(name, values)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if hasattr(values, "dtype") and values.dtype != object:
        found = _read_as(values, None)
        if found is None:
            raise _mixed(name, values, None)
        return found
    return _from_objects(name, values, wanted)


def _is_series(values: Any) -> bool:
    """Whether it is a column of pandas, where NaN stands for what is missing."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.Series)


def _from_objects(name: str, values: Any, wanted: pa.DataType | None) -> Any:
    is_series = _is_series(values)
    found = _read_as(values, None)
    if found is None and not is_series:
        # Rows that were records of pandas have its NA and NaT among them.
        values = [None if _is_missing_in_pandas(value) else value for value in values]
        found = _read_as(values, None)
    if found is None or pa.types.is_temporal(found.type):
        _refuse_nanoseconds(name, values)
    is_date = found is not None and pa.types.is_date32(found.type)
    if wanted is not None and pa.types.is_timestamp(wanted) and (is_date or found is None):
        values = [None if is_series and _is_missing(value) else _as_time(value) for value in values]
        found = None
    elif is_date:
        _refuse_times(name, values)
    if found is None:
        made = None if wanted is None else _read_as(values, wanted)
        if made is None:
            raise _mixed(name, values, wanted)
        return made
    if wanted is None or not _is_open(found.type, wanted):
        return found
    made = _read_as(values, wanted)
    # Where the values do not fit, the platform says what is wrong with the column as it is.
    return found if made is None or _overflows(found, made) else made


def _read_as(values: Any, wanted: pa.DataType | None) -> Any:
    """The values as an Arrow array; ``None`` when they cannot be one."""
    try:
        return pa.array(values, type=wanted, from_pandas=_is_series(values))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def _as_time(value: Any) -> Any:
    """A date as its midnight, anything else as it is."""
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return datetime.combine(value, time.min, timezone.utc) if is_day else value


def _refuse_times(name: str, values: Any) -> None:
    """Arrow takes a datetime among dates for one of them, and cuts it."""
    for row, value in enumerate(values):
        if isinstance(value, datetime) and not _is_missing(value):
            found = f"{type(value).__name__} {value!r}"
            raise mismatch(name, found, "date as in other rows", row)


def _refuse_nanoseconds(name: str, values: Any) -> None:
    """Arrow cuts the nanoseconds that a Timestamp of pandas has beyond those of a datetime."""
    if "pandas" not in sys.modules:
        return
    for row, value in enumerate(values):
        if not _is_missing(value) and getattr(value, "nanosecond", None):
            raise mismatch(name, repr(value), "a timestamp of whole microseconds", row)


def _is_open(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Python values that Arrow took for ``found`` may as well be ``wanted``."""
    types = pa.types
    if found == wanted or types.is_null(found):
        return True
    if types.is_integer(found):
        wider = (types.is_integer, types.is_floating, types.is_decimal)
        return any(is_wider(wanted) for is_wider in wider)
    if types.is_list(found):
        if not types.is_list(wanted) and not types.is_fixed_size_list(wanted):
            return False
        return _is_open(found.field(0).type, wanted.field(0).type)
    if types.is_struct(found):
        return _is_open_struct(found, wanted)
    # A Python float knows no smaller size, so it may be rounded to the one that is wanted.
    return bool(
        (types.is_floating(found) and types.is_floating(wanted))
        or (types.is_decimal(found) and types.is_decimal(wanted))
        or (types.is_timestamp(found) and types.is_timestamp(wanted) and found.unit != "ns")
    )


def _is_open_struct(found: pa.StructType, wanted: pa.DataType) -> bool:
    """The same for dicts, which are structs or maps."""
    if pa.types.is_map(wanted):
        return all(_is_open(field.type, wanted.item_type) for field in found)
    return pa.types.is_struct(wanted) and all(
        wanted.get_field_index(field.name) >= 0
        and _is_open(field.type, wanted.field(field.name).type)
        for field in found
    )


def _overflows(found: Any, made: Any) -> bool:
    """Whether floats became infinite in the smaller type."""
    if not pa.types.is_float32(made.type):
        return False
    return bool(pc.any(pc.and_(pc.is_finite(found), pc.is_inf(made))).as_py())


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or _is_missing_in_pandas(value)


def _is_missing_in_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def _mixed(name: str, values: Any, wanted: pa.DataType | None) -> SchemaMismatchError:
    """The error for a column that holds values of several types: the first odd one out."""
    first: type | None = None
    is_series = _is_series(values)
    for row, value in enumerate(values):
        # A NaN is missing in pandas alone.
        if value is None or (is_series and _is_missing(value)):
            continue
        if first is None:
            first = type(value)
        elif type(value) is not first:
            goal = str(wanted) if wanted is not None else f"{first.__name__} as in the rows before"
            return mismatch(name, f"{type(value).__name__} {value!r}", goal, row)
    kind = first.__name__ if first is not None else "nothing"
    goal = str(wanted) if wanted is not None else "a type that Arrow knows"
    return mismatch(name, f"values of type {kind}", goal)


def mismatch(name: str, found: str, wanted: str, row: int | None = None) -> SchemaMismatchError:
    """The error for a feature, worded as the platform words it."""
    where = "" if row is None else f" (row {row})"
    return SchemaMismatchError(
        f"feature `{name}`: found {found}, wanted {wanted}{where}",
        feature=name,
        found=found,
        wanted=wanted,
        row=row,
    )
