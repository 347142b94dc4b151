"""Thread of one reader: a reader that hangs, floods or is lost cannot delay the door's loop."""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence

from edge.door.readers.events import (
    ReaderEvent,
    ReaderFlooding,
    ReaderFound,
    ReaderInput,
    ReaderLost,
    ReaderReport,
    ReaderState,
)
from edge.door.readers.flood_guard import FloodGuard
from edge.door.readers.reader import Reader
from edge.errors import DoorError

log = logging.getLogger(__name__)

POLL_S = 0.5
HANG_S = 5.0
_QUEUE_MAX = 64
_BACKOFF_S, _BACKOFF_MAX_S = 0.5, 30.0
_STABLE_S = 10.0  # a connection that lasted so long resets the backoff
_CLOSE_S = 1.0


class ReaderThread:
    """Runs a reader, reconnects it with backoff and queues its events for the door's loop."""

    def __init__(
        self, name: str, reader: Reader, clock: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        """Start. `wake` is called after each queued event."""
        self._name = name
        self._reader = reader
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._queue: deque[ReaderReport] = deque(maxlen=_QUEUE_MAX)
        self._state: ReaderState | None = None
        self._why = "not connected yet"
        self._alive_at = clock()
        self._flood = FloodGuard()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader {name}", daemon=True)
        self._thread.start()

    def take(self) -> list[ReaderReport]:
        """Return the events since the last call, at most 64. Never waits for the reader."""
        with self._lock:
            self._check_hang()
            reports = list(self._queue)
            self._queue.clear()
        return reports

    def status(self) -> tuple[ReaderState, str]:
        """Return the state, and why the reader is disconnected."""
        with self._lock:
            return self._state or ReaderState.DISCONNECTED, self._why

    def close(self) -> bool:
        """End the thread; return False if it hangs and cannot end."""
        self._stopped.set()
        self._thread.join(_CLOSE_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        backoff_s = _BACKOFF_S
        while not self._stopped.is_set():
            opened_at = math.inf
            try:
                self._reader.open()
                opened_at = self._clock()
                self._report(())
                while not self._stopped.is_set():
                    self._report(self._reader.poll(POLL_S))
            except DoorError as error:
                self._report_lost(str(error))
            except Exception as error:  # its text may hold a card: only the type is shown
                self._report_lost(f"unexpected {type(error).__name__}")
            finally:
                self._close_reader()
            if self._clock() - opened_at >= _STABLE_S:
                backoff_s = _BACKOFF_S
            self._stopped.wait(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)

    def _close_reader(self) -> None:
        try:
            self._reader.close()
        except Exception as error:  # of its library: the thread goes on
            log.error("reader %s: cannot be closed: %s", self._name, type(error).__name__)

    def _report(self, inputs: Sequence[ReaderInput]) -> None:
        now = self._clock()
        with self._lock:
            self._alive_at = now
            for read in inputs:
                assert isinstance(read, ReaderInput)
                if self._flood.accept(now) and len(self._queue) < _QUEUE_MAX:
                    self._put(read, now)
            if self._flood.is_flooding(now):
                self._change(ReaderState.FLOODING, "", ReaderFlooding(), now)
            else:
                self._change(ReaderState.READY, "", ReaderFound(), now)
        if inputs:
            self._wake()

    def _report_lost(self, why: str) -> None:
        with self._lock:
            self._change(ReaderState.DISCONNECTED, why, ReaderLost(why), self._clock())

    def _check_hang(self) -> None:
        now = self._clock()
        if self._state is not ReaderState.DISCONNECTED and now - self._alive_at > HANG_S:
            why = f"does not answer for {HANG_S:g} s"
            self._change(ReaderState.DISCONNECTED, why, ReaderLost(why), now)

    def _change(self, state: ReaderState, why: str, event: ReaderEvent, now: float) -> None:
        """Queue one event if the state changes."""
        self._why = why
        if state is self._state:
            return
        self._state = state
        level = logging.INFO if state is ReaderState.READY else logging.WARNING
        log.log(level, "reader %s: %s%s", self._name, state, f": {why}" if why else "")
        self._put(event, now)
        self._wake()

    def _put(self, event: ReaderEvent, now: float) -> None:
        self._queue.append(ReaderReport(self._name, event, now))
