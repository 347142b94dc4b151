"""State of the camera and counters of the recogniser, from its live socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge.errors import RecogniserError
from edge.live.client import LiveReader
from edge.live.protocol import LiveView

_MAX_AGE_S = 5.0  # each reading makes the recogniser encode a picture
_TIMEOUT_S = 2.0


class RecogniserStatus:
    """Reads a view that is at most 5 s old; may be used by several threads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._view: LiveView | None = None
        self.error = ""  # why there is no view

    def read(self) -> LiveView | None:
        """Return the newest view, None if the recogniser cannot be reached."""
        with self._lock:
            if self._clock() - self._read_at >= _MAX_AGE_S:
                self._view, self.error = self._connect()
                self._read_at = self._clock()
            return self._view

    def _connect(self) -> tuple[LiveView | None, str]:
        try:
            reader = LiveReader(self._path, timeout_s=_TIMEOUT_S)
        except RecogniserError as error:
            return None, str(error)
        try:
            return reader.read().view, ""
        except RecogniserError as error:
            return None, str(error)
        finally:
            reader.close()
