"""Everything that can go wrong, as one tree below :class:`TwinfoldError`.

Where Python has a class for the same idea (``ValueError``, ``LookupError``, ``TimeoutError``), the
exception is one of those as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twinfold.quarantine import QuarantinedRow

if TYPE_CHECKING:
    from twinfold._shapes import QuarantinedRowDict

__all__ = [
    "AlreadyExistsError",
    "BusyError",
    "ClosedError",
    "ForkError",
    "InUseError",
    "IncompatibleEvolutionError",
    "InternalError",
    "InvalidDefinitionError",
    "LockedError",
    "MissingRowError",
    "NewerFormatError",
    "NotAvailableError",
    "NotFoundError",
    "NotReadyError",
    "QuarantinedRowsError",
    "SchemaMismatchError",
    "SourceError",
    "StoreError",
    "TooLargeError",
    "TwinfoldError",
    "UnknownFeatureError",
    "WaitTimeoutError",
]


class TwinfoldError(Exception):
    """The base of every exception of the package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders (pools of workers) with all they know.
        return (_restore, (type(self), self.args, self.__dict__))


class SourceError(TwinfoldError):
    """What a dataframe was made from failed while it was read; nothing was taken in."""


class InvalidDefinitionError(TwinfoldError, ValueError):
    """A feature group, view, query, dataset, name or setting cannot be as it was asked for."""


class IncompatibleEvolutionError(InvalidDefinitionError):
    """A feature group cannot change that way in place; a new version is needed."""

    def __init__(self, message: str, *, next_version: int) -> None:
        super().__init__(message)
        self.next_version = next_version


class SchemaMismatchError(TwinfoldError, ValueError):
    """A value or column is not of the type that its feature has.

    Attributes
    ----------
    feature
        The name of the feature.
    found, wanted
        What there was, and what there should have been.
    row
        The first row of which this is so, counted from 0; ``None`` when it is so of the column.
    """

    def __init__(
        self,
        message: str,
        *,
        feature: str,
        found: str | None = None,
        wanted: str | None = None,
        row: int | None = None,
    ) -> None:
        super().__init__(message)
        self.feature = feature
        self.found = found
        self.wanted = wanted
        self.row = row


class UnknownFeatureError(SchemaMismatchError):
    """A feature or column was named that is not there."""

    def __init__(self, message: str, *, feature: str, known: Sequence[str]) -> None:
        super().__init__(message, feature=feature, found=feature, wanted=", ".join(known))
        self.known = list(known)


class NotFoundError(TwinfoldError, LookupError):
    """There is no feature group, view or dataset of that name and version."""

    def __init__(self, message: str, *, what: str, name: str) -> None:
        super().__init__(message)
        self.what = what
        self.name = name


class AlreadyExistsError(TwinfoldError, ValueError):
    """There is a feature group, view or dataset of that name and version already."""

    def __init__(self, message: str, *, what: str, name: str) -> None:
        super().__init__(message)
        self.what = what
        self.name = name


class InUseError(TwinfoldError):
    """Something else still needs what should be removed."""

    def __init__(self, message: str, *, what: str, name: str) -> None:
        super().__init__(message)
        self.what = what
        self.name = name


class NotReadyError(TwinfoldError):
    """The topic and tables of a feature group are not made yet; try again."""

    def __init__(self, message: str, *, group: str) -> None:
        super().__init__(message)
        self.group = group


class BusyError(TwinfoldError):
    """As much of its kind is under way as is allowed at a time; try again later."""


class WaitTimeoutError(TwinfoldError, TimeoutError):
    """The stores did not come that far in time. Nothing is lost: waiting again is fine."""


class QuarantinedRowsError(TwinfoldError):
    """Rows of a receipt could not be applied and were set aside.

    Attributes
    ----------
    group
        The name of the feature group.
    rows
        The rows, each with its ``position``, ``code`` and ``reason``.
    """

    def __init__(self, message: str, *, group: str, records: Sequence[QuarantinedRowDict]) -> None:
        super().__init__(message)
        self.group = group
        self.rows = [QuarantinedRow(**record) for record in records]


class MissingRowError(TwinfoldError, LookupError):
    """A vector was asked for strictly, and a group has no row for its key.

    Attributes
    ----------
    group, key
        Where a row was looked for.
    presence
        ``missing`` or ``expired``.
    """

    def __init__(self, message: str, *, group: str, key: str, presence: str) -> None:
        super().__init__(message)
        self.group = group
        self.key = key
        self.presence = presence


class TooLargeError(TwinfoldError, ValueError):
    """A deployment takes only so much in one request: insert the rows in parts.

    Attributes
    ----------
    bytes, bytes_max
        What was found, at the least, and what is taken.
    """

    def __init__(self, message: str, *, bytes: int, bytes_max: int) -> None:
        super().__init__(message)
        self.bytes = bytes
        self.bytes_max = bytes_max


class LockedError(TwinfoldError):
    """Another process has the folder open."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class NewerFormatError(TwinfoldError):
    """The folder was written by a newer version of the package."""

    def __init__(self, message: str, *, path: str, found: int, supported: int) -> None:
        super().__init__(message)
        self.path = path
        self.found = found
        self.supported = supported


class ClosedError(TwinfoldError):
    """The connection was closed."""


class ForkError(TwinfoldError):
    """The connection belongs to the process that this one was forked from."""


class NotAvailableError(TwinfoldError, NotImplementedError):
    """This version cannot do that yet, or a package that it would need is not installed."""


class StoreError(TwinfoldError):
    """A store failed. ``retry`` says whether the same call may succeed later."""

    def __init__(self, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class InternalError(TwinfoldError):
    """A fault of the platform itself."""


def _restore(
    cls: type[TwinfoldError], args: tuple[Any, ...], state: dict[str, Any]
) -> TwinfoldError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error
