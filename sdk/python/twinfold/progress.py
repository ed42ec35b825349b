"""The bar that long inserts show."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

_WIDTH = 28
_SHOWN_AFTER_S = 0.5


class ProgressBar:
    """Rows written so far, on one line of the terminal that is written over.

    Parameters
    ----------
    label
        What is being written.
    total
        How many rows there will be.
    enabled
        ``None`` shows the bar when standard error is a terminal and the work takes a while.
    """

    def __init__(
        self, label: str, total: int, *, enabled: bool | None = None, stream: TextIO | None = None
    ) -> None:
        self._label = label
        self._total = total
        self._stream = stream if stream is not None else sys.stderr
        self._patience_s = 0.0 if enabled else _SHOWN_AFTER_S
        self.enabled = self._stream.isatty() if enabled is None else enabled
        self._began = time.monotonic()
        self._width = 0

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.update(self._total)
        if self._width:
            self._stream.write("\n")
            self._stream.flush()

    def update(self, rows: int) -> None:
        """Draw the bar anew."""
        seconds = time.monotonic() - self._began
        if not self.enabled or (seconds < self._patience_s and not self._width):
            return
        share = rows / self._total if self._total else 1.0
        filled = int(share * _WIDTH)
        rate = rows / seconds if seconds > 0 else 0.0
        line = (
            f"{self._label}  {'█' * filled}{'░' * (_WIDTH - filled)} {share:4.0%}"
            f"  {rows:,} of {self._total:,} rows  {rate:,.0f} rows/s"
        )
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
