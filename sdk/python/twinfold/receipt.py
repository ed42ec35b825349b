"""Proof that rows were taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinfold.display import count, html_table
from twinfold.feature import GroupRef

if TYPE_CHECKING:
    from twinfold import _core

# The platform takes a number; thirty years are enough for everyone.
_FOR_EVER_S = 1e9


class Receipt:
    """What :meth:`twinfold.FeatureGroup.insert` returns: the rows are in the log, durably.

    Examples
    --------
    >>> receipt = weather.insert(sample)
    >>> receipt.rows
    4
    >>> receipt.wait()
    """

    def __init__(self, core: _core.Receipt, *, online_enabled: bool) -> None:
        self._core = core
        self._online_enabled = online_enabled

    @property
    def group(self) -> GroupRef:
        """Name and version of the feature group."""
        return GroupRef(*self._core.group)

    @property
    def rows(self) -> int:
        """How many rows were taken in."""
        return self._core.rows

    @property
    def ingestion_id(self) -> str:
        """A UUID that every record of this insert carries."""
        return self._core.ingestion_id

    @property
    def positions(self) -> dict[int, tuple[int, int]]:
        """Per partition of the log, the first offset of these rows and the one after the last."""
        start = self._core.start
        return {partition: (start[partition], end) for partition, end in self._core.end.items()}

    def wait(
        self, *, online: bool = True, offline: bool = True, timeout_s: float | None = 60.0
    ) -> None:
        """Return when the rows are readable in the stores.

        Parameters
        ----------
        online, offline
            Which stores to wait for. A group that is not online is not waited for there.
        timeout_s
            For how long, in seconds; ``None`` is for ever.

        Raises
        ------
        WaitTimeoutError
            When it takes longer. The rows are not lost; waiting again is fine.
        QuarantinedRowsError
            When rows could not be applied; its ``rows`` say which and why. The others were.
        """
        timeout_s = _FOR_EVER_S if timeout_s is None else timeout_s
        self._core.wait(online and self._online_enabled, offline, timeout_s)

    def _positions_text(self) -> str:
        return " ".join(f"{p}:{start}-{end}" for p, (start, end) in self.positions.items())

    def __repr__(self) -> str:
        parts = [str(self.group), count(self.rows, "row"), self._positions_text()]
        return f"Receipt({', '.join(part for part in parts if part)})"

    def _repr_html_(self) -> str:
        rows = [(p, start, end, end - start) for p, (start, end) in self.positions.items()]
        title = f"Receipt: {count(self.rows, 'row')} into {self.group}"
        return html_table(title, ["partition", "from", "to", "span"], rows)
