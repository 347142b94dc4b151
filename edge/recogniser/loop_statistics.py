"""Counters of the recogniser's main loop since its start, for the live view."""

from __future__ import annotations

from bisect import bisect_left

from edge.live.protocol import LiveHistogram

# Upper limits of the buckets in seconds. Documented in docs/live-socket.md: do not change one.
EDGES_S = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)


class TimeHistogram:
    """Numbers of times in seconds by size. Adding one costs less than a microsecond."""

    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES_S) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(EDGES_S, seconds)] += 1
        self._sum_s += seconds

    def read(self) -> LiveHistogram:
        """Return a copy; may be called from another thread."""
        return LiveHistogram(edges=EDGES_S, counts=tuple(self._counts), sum=self._sum_s)


class LoopStatistics:
    """Numbers of frames and faces, and times from an exposure to what followed."""

    def __init__(self) -> None:
        self.frames = self.faces = 0
        self.decision_s, self.answer_s = TimeHistogram(), TimeHistogram()
