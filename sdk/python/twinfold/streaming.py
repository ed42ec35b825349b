"""Writing dataframes as they come."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, Collection, Iterable
from typing import TYPE_CHECKING, Literal, TypedDict

from twinfold.display import count
from twinfold.exceptions import InvalidDefinitionError

if TYPE_CHECKING:
    from twinfold.dataframes import Rows
    from twinfold.feature_group import FeatureGroup
    from twinfold.receipt import Receipt

State = Literal["running", "stopping", "stopped", "finished", "failed"]


class StreamStatus(TypedDict):
    """Where a stream is."""

    state: State
    batches: int
    rows: int


class StreamProgress(TypedDict):
    """What the last dataframe took."""

    batch: int
    rows: int
    seconds: float
    rows_per_second: float
    ingestion_id: str


class StreamingQuery:
    """A handle on :meth:`twinfold.FeatureGroup.insert_stream`.

    Dataframes are inserted one after the other on a thread of its own. The query ends when they
    are through, when :meth:`stop` was called, or when one of them fails.
    """

    def __init__(self, group: FeatureGroup, name: str) -> None:
        self.name = name
        self._group = group
        self._outcome: State | None = None
        self._batches = 0
        self._rows = 0
        self._last_progress: StreamProgress | None = None
        self._last_receipt: Receipt | None = None
        self._exception: BaseException | None = None
        self._stop_asked = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def _started(
        cls, group: FeatureGroup, rows: Iterable[Rows] | AsyncIterable[Rows], name: str
    ) -> StreamingQuery:
        if not isinstance(rows, (Iterable, AsyncIterable)) or hasattr(rows, "__arrow_c_stream__"):
            raise InvalidDefinitionError(
                f"insert_stream: wanted an iterable of dataframes, found {type(rows).__name__}; "
                "a single dataframe goes to insert"
            )
        query = cls(group, name)
        query._thread = threading.Thread(target=query._run, args=(rows,), name=name, daemon=True)
        group._store._register(query)
        query._thread.start()
        return query

    def _run(self, rows: Iterable[Rows] | AsyncIterable[Rows]) -> None:
        try:
            if isinstance(rows, AsyncIterable):
                asyncio.run(self._consume_async(rows))
            else:
                self._consume(rows)
            self._outcome = "stopped" if self._stop_asked.is_set() else "finished"
        except BaseException as error:
            # Kept for whoever asks for it; a thread has nobody to raise it to.
            self._exception = error
            self._outcome = "failed"
        finally:
            self._ended.set()

    def _consume(self, rows: Iterable[Rows]) -> None:
        for frame in rows:
            # What was taken from the iterator is inserted even if a stop was asked meanwhile.
            self._insert(frame)
            if self._stop_asked.is_set():
                return

    async def _consume_async(self, rows: AsyncIterable[Rows]) -> None:
        async for frame in rows:
            await asyncio.to_thread(self._insert, frame)
            if self._stop_asked.is_set():
                return

    def _insert(self, frame: Rows) -> None:
        began = time.monotonic()
        receipt = self._group.insert(frame, progress=False)
        seconds = time.monotonic() - began
        self._batches += 1
        self._rows += receipt.rows
        self._last_receipt = receipt
        self._last_progress = {
            "batch": self._batches,
            "rows": receipt.rows,
            "seconds": seconds,
            "rows_per_second": receipt.rows / seconds if seconds > 0 else 0.0,
            "ingestion_id": receipt.ingestion_id,
        }

    @property
    def is_active(self) -> bool:
        """Whether dataframes are still taken in."""
        # In a forked child the thread is gone, whatever it had come to.
        return self._outcome is None and self._thread is not None and self._thread.is_alive()

    @property
    def _state(self) -> State:
        if self._outcome is not None:
            return self._outcome
        return "stopping" if self._stop_asked.is_set() else "running"

    @property
    def status(self) -> StreamStatus:
        """State, dataframes and rows so far."""
        return {"state": self._state, "batches": self._batches, "rows": self._rows}

    @property
    def last_progress(self) -> StreamProgress | None:
        """Rows, seconds and rate of the last dataframe."""
        return self._last_progress

    @property
    def last_receipt(self) -> Receipt | None:
        """The receipt of the last dataframe; waiting for it is waiting for all before it."""
        return self._last_receipt

    def exception(self) -> BaseException | None:
        """What ended the query, if it failed."""
        return self._exception

    def stop(self, *, timeout_s: float | None = 60.0) -> bool:
        """End after the dataframe that is being inserted. Returns whether it has ended.

        An iterator that is itself waiting is left behind waiting.
        """
        self._stop_asked.set()
        return self._joined(timeout_s)

    def await_termination(self, *, timeout_s: float | None = None) -> bool:
        """Wait for the end. Returns whether it came; raises what the query failed with."""
        ended = self._joined(timeout_s)
        if self._exception is not None:
            raise self._exception
        return ended

    def _joined(self, timeout_s: float | None) -> bool:
        if self.is_active and self._thread is not threading.current_thread():
            # Not `join`, which takes a thread for dead when a key press ends it (CPython 3.11); and
            # never without a limit, because then some signal handlers keep the key press waiting.
            self._ended.wait(threading.TIMEOUT_MAX if timeout_s is None else timeout_s)
        return not self.is_active

    def __repr__(self) -> str:
        done = f"{count(self._rows, 'row')} in {count(self._batches, 'dataframe')}"
        return f"StreamingQuery({self.name!r}, {self._state}, {done})"


def stop_all(streams: Collection[StreamingQuery], *, timeout_s: float) -> None:
    """Ask every stream to end before waiting for the first; they share one deadline."""
    for stream in streams:
        stream._stop_asked.set()
    deadline = time.monotonic() + timeout_s
    for stream in streams:
        stream._joined(max(0.0, deadline - time.monotonic()))
