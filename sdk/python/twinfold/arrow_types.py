"""The Arrow types of features."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

_SCALARS: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}


def arrow_type(type_name: str) -> pa.DataType:
    """The Arrow type in which rows with a feature of this type are read.

    Examples
    --------
    >>> from twinfold.arrow_types import arrow_type
    >>> arrow_type("bigint")
    DataType(int64)
    >>> arrow_type("struct<name:string,sizes:array<decimal(6,2)>>")
    StructType(struct<name: string, sizes: list<item: decimal128(6, 2)>>)
    """
    if type_name in _SCALARS:
        return _SCALARS[type_name]
    outer, inner = re.split("[<(]", type_name[:-1], maxsplit=1)
    if outer == "decimal":
        precision, scale = inner.split(",")
        return pa.decimal128(int(precision), int(scale))
    if outer == "embedding":
        return pa.list_(pa.float32(), int(inner))
    if outer == "array":
        return pa.list_(arrow_type(inner))
    if outer == "map":
        return pa.map_(pa.string(), arrow_type(inner.removeprefix("string,")))
    fields = (field.split(":", 1) for field in _divided(inner))
    return pa.struct([(name, arrow_type(of_field)) for name, of_field in fields])


def _divided(text: str) -> Iterator[str]:
    """The parts between the commas that no bracket encloses."""
    depth = begin = 0
    for end, character in enumerate(text):
        depth += (character in "<(") - (character in ">)")
        if character == "," and depth == 0:
            yield text[begin:end]
            begin = end + 1
    yield text[begin:]
