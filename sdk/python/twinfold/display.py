"""How objects show themselves: aligned text in a terminal, tables in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_CELL_CHARS_MAX = 48


def cell(value: Any) -> str:
    """One value for people: thousands apart, long texts cut.

    Examples
    --------
    >>> from twinfold.display import cell
    >>> cell(1234567), cell(0.25), cell(None), cell(True)
    ('1,234,567', '0.25', '', 'yes')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= _CELL_CHARS_MAX else text[: _CELL_CHARS_MAX - 1] + "…"


def text_table(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, indent: int = 2) -> str:
    """Rows below their headers; numbers to the right, everything else to the left.

    Examples
    --------
    >>> from twinfold.display import text_table
    >>> print(text_table(["group", "rows"], [["weather", 26115], ["planes", 3322]], indent=0))
    group      rows
    weather  26,115
    planes    3,322
    """
    rows = [list(row) for row in rows]
    is_number = [
        bool(rows) and all(isinstance(row[i], (int, float)) or row[i] is None for row in rows)
        for i in range(len(headers))
    ]
    lines = [list(headers)] + [[cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    margin = " " * indent
    return "\n".join(
        margin
        + "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in lines
    )


def html_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table for notebooks, everything escaped."""
    head = "".join(f"<th style='text-align:left'>{escape(header)}</th>" for header in headers)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left'>{escape(cell(value))}</td>" for value in row)
        + "</tr>"
        for row in rows
    )
    return (
        f"<div><strong>{escape(title)}</strong>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def count(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it must be.

    Examples
    --------
    >>> from twinfold.display import count
    >>> count(1, "row"), count(26115, "row")
    ('1 row', '26,115 rows')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
