"""Detection of readers that send more than people can present. Pure: times are arguments."""

from __future__ import annotations

import math
from collections import deque

_READS_MAX = 10
_WINDOW_S = 1.0
_QUIET_S = 3.0


class FloodGuard:
    """Flooding starts with the 11th read in a second and ends after 3 s without a read."""

    def __init__(self) -> None:
        self._reads: deque[float] = deque(maxlen=_READS_MAX)
        self._last = -math.inf
        self._is_flooding = False

    def accept(self, now: float) -> bool:
        """Return True if a read that arrives now may be used."""
        if self.is_flooding(now):
            self._last = now
            return False
        self._last = now
        if len(self._reads) == _READS_MAX and now - self._reads[0] < _WINDOW_S:
            self._is_flooding = True
            self._reads.clear()
            return False
        self._reads.append(now)
        return True

    def is_flooding(self, now: float) -> bool:
        if self._is_flooding and now - self._last >= _QUIET_S:
            self._is_flooding = False
        return self._is_flooding
