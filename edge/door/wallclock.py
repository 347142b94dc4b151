"""The clock on the wall, and whether it can be right: no door stands open by a clock that was never set."""

from __future__ import annotations

import time
from collections.abc import Callable

BUILT_AFTER = 1_767_225_600.0  # 2026-01-01: a clock before this was never set
_SLACK_S = 60.0  # that a clock may be set back without doubt


class WallClock:
    """Believed unless it lies before this software, or before the latest time at which it was believed."""

    def __init__(self, latest: float = 0.0, read: Callable[[], float] = time.time) -> None:
        self._read = read
        self.latest = latest  # Unix seconds; of this life and, by the record, of those before

    def look(self) -> tuple[float, bool]:
        """Unix seconds, and whether they are believed."""
        now = self._read()
        believed = now >= max(self.latest, BUILT_AFTER) - _SLACK_S
        if believed:
            self.latest = max(self.latest, now)
        return now, believed
