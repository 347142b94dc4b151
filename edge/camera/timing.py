"""Times of exposure, from the source's own clock or from the pace at which its frames arrive.

All times are monotonic seconds. A frame that may be older than the limit has no time and is
dropped.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

_SETTLE_S = (0.5, 5.0)  # least and most time after opening in which frames count as buffered
_RELEASE_S = 1.0  # seconds in real time after a stall before frames count again
_RATES = (0.75, 1.25)  # rates relative to real time that count as real time
_BURST_S, _BURST = 2.0, 1.5  # a source at this rate over this time empties a buffer
_SLACK = 1.25  # usual intervals that a frame may take without counting as late
_CREEP = 0.001  # seconds per second by which the smallest delay grows: clocks drift
_JUMP_S = 1.0  # a larger jump of a source's clock: it was set, or the source restarted
_AHEAD_S = 0.05
_FIRST_AGE_S = 5.0  # largest age of a device's first frame with monotonic timestamps
_FIRST = 8  # least number of frames to measure an interval
_COUNTED = 150  # intervals after which the mean interval is fixed
_STUCK = 5  # equal timestamps in a row: the source has no timestamps


class FrameTimes(Protocol):
    """Dates the frames of one opened source, one after the other."""

    def exposure_at(self, stamp_s: float, read_at: float) -> float | None:
        """Return when a frame was exposed, None if it may be older than the limit.

        `stamp_s` is its timestamp by the source's own clock, `read_at` when it was read.
        """
        ...


class DeviceTimes:
    """Times from the monotonic timestamps of V4L2 buffers, else from the pace."""

    def __init__(self, limit_s: float, opening_s: float) -> None:
        self._limit_s = limit_s
        self._pace = PaceTimes(limit_s, opening_s)
        self._is_monotonic: bool | None = None

    def exposure_at(self, stamp_s: float, read_at: float) -> float | None:
        paced, age = self._pace.exposure_at(stamp_s, read_at), read_at - stamp_s
        if self._is_monotonic is None:
            self._is_monotonic = age <= _FIRST_AGE_S
        self._is_monotonic &= age >= -_AHEAD_S
        if not self._is_monotonic:
            return paced
        return min(stamp_s, read_at) if age <= self._limit_s else None


class StreamTimes:
    """Times from presentation timestamps by the smallest delay seen, else from the pace."""

    def __init__(self, limit_s: float, opening_s: float) -> None:
        self._limit_s = limit_s
        self._pace = PaceTimes(limit_s, opening_s)
        self._stuck = 0
        self._last_s = -math.inf
        self._least, self._least_at = math.inf, 0.0  # delay
        self._window = _Window(_RELEASE_S)
        self._is_settled = False

    def exposure_at(self, stamp_s: float, read_at: float) -> float | None:
        paced = self._pace.exposure_at(stamp_s, read_at)
        last_s, self._last_s = self._last_s, stamp_s
        if self._stuck < _STUCK:  # then for good: the next one differs by accident
            self._stuck = self._stuck + 1 if stamp_s == last_s else 0
        if self._stuck >= _STUCK:
            return paced
        lag = self._lag(stamp_s, stamp_s < last_s - _JUMP_S, read_at)
        if not self._is_settled:
            rate = self._window.add(read_at, stamp_s)
            self._is_settled = rate is not None and rate <= _RATES[1]
            return None
        return read_at - lag if lag <= self._limit_s else None

    def _lag(self, stamp_s: float, is_set_back: bool, read_at: float) -> float:
        """Return the frame's delay in seconds beyond the smallest delay."""
        delay = read_at - stamp_s
        known = self._least + _CREEP * (read_at - self._least_at)
        if is_set_back or (math.isfinite(known) and delay < known - _JUMP_S):
            self._restart(delay, read_at)
        else:
            self._least, self._least_at = min(known, delay), read_at
        return delay - self._least

    def _restart(self, delay: float, read_at: float) -> None:
        self._least, self._least_at = delay, read_at
        self._window = _Window(_RELEASE_S)
        self._is_settled = False


class PaceTimes:
    """Times of a source without a clock, from the pace of its frames.

    After a stall or burst frames are dropped until they come in real time. A reader that is always
    slower than the source is not detected: its frames look like late ones.
    """

    def __init__(self, limit_s: float, opening_s: float) -> None:
        self._stall_s = limit_s / 2
        self._settle_s = min(max(opening_s, _SETTLE_S[0]), _SETTLE_S[1])
        self._reads: list[float] = []  # while the interval is being learned
        self._interval_s = 0.0
        self._counted = 0  # intervals that the mean is made of
        self._last_at = math.inf
        self._position_s = 0.0
        self._lag_s = 0.0
        self._suspect: _Window | None = None
        self._recent = _Window(_BURST_S)

    def exposure_at(self, _: float, read_at: float) -> float | None:
        gap_s, self._last_at = max(0.0, read_at - self._last_at), read_at
        if not self._counted:
            return self._learn(gap_s, read_at)
        self._position_s += self._interval_s
        late_s = gap_s - self._interval_s * _SLACK
        self._lag_s = max(0.0, self._lag_s + late_s)
        rate = self._recent.add(read_at, self._position_s)
        is_burst = rate is not None and rate > _BURST
        if self._suspect is None and (self._lag_s > self._stall_s or is_burst):
            self._suspect = _Window(self._span(_RELEASE_S))
        if self._suspect is not None:
            return read_at if self._is_over(self._suspect, late_s, read_at) else None
        if self._counted < _COUNTED:
            self._counted += 1
            self._interval_s += (gap_s - self._interval_s) / self._counted
        return read_at - self._lag_s

    def _is_over(self, suspect: _Window, late_s: float, read_at: float) -> bool:
        """Return True if frames have come in real time since the last stall."""
        if late_s > self._stall_s:
            suspect.clear()
        rate = suspect.add(read_at, self._position_s)
        if rate is None or not _RATES[0] <= rate <= _RATES[1]:
            return False
        self._suspect, self._lag_s = None, 0.0
        self._recent.clear()
        return True

    def _learn(self, gap_s: float, read_at: float) -> float | None:
        """Measure the interval once the frames buffered while the source opened are read."""
        if gap_s > 2 * self._stall_s:
            self._reads.clear()
            # Frames buffered during the pause are read in less time than that.
            self._settle_s = max(self._settle_s, gap_s)
        self._reads.append(read_at)
        settled = [at for at in self._reads if at >= self._reads[0] + self._settle_s]
        if len(settled) < _FIRST or settled[-1] - settled[0] < _RELEASE_S:
            return None
        self._counted = len(settled) - 1
        self._interval_s = (settled[-1] - settled[0]) / self._counted
        self._recent = _Window(self._span(_BURST_S))
        self._reads.clear()
        return read_at

    def _span(self, least_s: float) -> float:
        return max(least_s, _FIRST * self._interval_s)


class _Window:
    """Rate of a source's clock over the last seconds of the monotonic clock."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, read_at: float, position_s: float) -> float | None:
        """Return the rate with this frame, None before the span has passed."""
        self._seen.append((read_at, position_s))
        while len(self._seen) > 2 and self._seen[1][0] <= read_at - self._span_s:
            self._seen.popleft()
        first_at, first_s = self._seen[0]
        if read_at - first_at < self._span_s:
            return None
        return (position_s - first_s) / (read_at - first_at)

    def clear(self) -> None:
        self._seen.clear()
