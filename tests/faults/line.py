"""Observed output of the lock: the relay's file, which keeps its level after the process."""

from __future__ import annotations

import threading
import time
from pathlib import Path

_POLL_S = 0.001


class Line:
    """`changes` holds (monotonic seconds, energised), dated by the file's time stamp."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.changes: list[tuple[float, bool]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="line", daemon=True)
        self._thread.start()

    @property
    def energised(self) -> bool:
        return bool(self.changes) and self.changes[-1][1]

    def energised_since(self, moment: float) -> float | None:
        """Return when it was first energised after a moment, None if it was not."""
        return next((at for at, level in self.changes if level and at >= moment), None)

    def longest_s(self, since: float, until: float) -> float:
        """Return the longest time it was energised without a break, ending after `since`."""
        longest, began = 0.0, None
        for at, level in [*self.changes, (until, False)]:
            if level and began is None:
                began = at
            elif not level and began is not None:
                longest, began = max(longest, at - began if at > since else 0.0), None
        return longest

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_POLL_S):
            try:
                level = self._path.read_text() == "1\n"
                written = self._path.stat().st_mtime
            except OSError:
                continue
            if level != self.energised:
                self.changes.append((time.monotonic() - (time.time() - written), level))
