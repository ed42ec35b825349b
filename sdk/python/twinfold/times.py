"""Instants and spans as users write them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeGuard, Union, cast

from twinfold.exceptions import InvalidDefinitionError

if TYPE_CHECKING:
    import numpy as np

Time = Union[datetime, date, str, "np.datetime64"]
"""An instant: a ``datetime`` or ``Timestamp``, a ``date`` (its midnight), an ISO 8601 string.

Without a zone it is taken as UTC.
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: Time, name: str) -> int:
    """Microseconds since 1970-01-01T00:00:00Z; ``name`` is the argument, for errors.

    Examples
    --------
    >>> from twinfold.times import micros
    >>> micros("1970-01-01T00:00:01+00:00", "start_time")
    1000000
    >>> micros("1970-01-02", "start_time")
    86400000000
    """
    if _is_datetime64(moment):
        return int(moment.astype("datetime64[us]").astype(int))
    if isinstance(moment, str):
        moment = _parsed(moment, name)
    # NaT of pandas is a datetime as well, but not equal to itself.
    if isinstance(moment, datetime) and moment == moment:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        # Timestamps of pandas give a Timedelta that also knows nanoseconds: floor it.
        return int((moment - _EPOCH) // _MICROSECOND)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        return micros(datetime.combine(moment, time.min), name)
    raise InvalidDefinitionError(
        f"{name}: wanted a datetime, a date or an ISO 8601 string, "
        f"found {type(moment).__name__} {moment!r}"
    )


def _is_datetime64(moment: Any) -> TypeGuard[np.datetime64]:
    """Whether it is an instant of numpy; its other numbers do not say what they count."""
    is_instant = getattr(getattr(moment, "dtype", None), "kind", None) == "M"
    return is_instant and getattr(moment, "ndim", None) == 0 and bool(moment == moment)


def optional_micros(moment: Time | None, name: str) -> int | None:
    """As :func:`micros`, and ``None`` for ``None``."""
    return None if moment is None else micros(moment, name)


def commit_or_micros(moment: int | Time | None, name: str) -> tuple[int | None, int | None]:
    """The id of a commit, or else a time of commit as :func:`micros`; at most one of them."""
    # The integers of numpy are such numbers, too.
    if isinstance(moment, Integral) and not isinstance(moment, bool):
        if moment < 0:
            raise InvalidDefinitionError(f"{name}: wanted the id of a commit, found {moment}")
        return int(moment), None
    return None, optional_micros(cast("Time | None", moment), name)


def _parsed(text: str, name: str) -> datetime:
    try:
        # Python 3.10 does not read the Z of UTC.
        return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise InvalidDefinitionError(
            f"{name}: wanted an ISO 8601 time such as 2013-01-31T06:00:00+00:00, found {text!r}"
        ) from None


def span_micros(span: timedelta | float, name: str) -> int:
    """Microseconds of a positive span, given as a ``timedelta`` or in seconds."""
    valid = isinstance(span, timedelta) or (
        isinstance(span, (int, float)) and not isinstance(span, bool)
    )
    if valid:
        length = span if isinstance(span, timedelta) else timedelta(seconds=span)
        if length > timedelta(0):
            return length // _MICROSECOND
    raise InvalidDefinitionError(
        f"{name}: wanted a positive timedelta or number of seconds, found {span!r}"
    )
