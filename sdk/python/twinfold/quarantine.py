"""Rows that could not be applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class QuarantinedRow:
    """A row that could not be applied, kept whole. It never held up the rows behind it.

    Attributes
    ----------
    group, version
        The feature group it was meant for.
    partition, offset
        Its place in the group's topic.
    code
        A stable word for what is wrong, such as ``future_event_time``.
    reason
        The same in a sentence.
    key, value, headers
        The record as it was.
    quarantined_at, replayed_at
        When it was set aside, and when it was appended again.
    """

    group: str
    version: int
    partition: int
    offset: int
    code: str
    reason: str
    key: bytes = field(repr=False)
    value: bytes = field(repr=False)
    headers: bytes = field(repr=False)
    quarantined_at: datetime = field(repr=False)
    replayed_at: datetime | None = field(repr=False)

    @property
    def position(self) -> str:
        """Partition and offset, such as ``2:4711``."""
        return f"{self.partition}:{self.offset}"
