"""A limit on trying out faces: whoever climbs towards a match needs many tries, and people who come to a door do not."""

from __future__ import annotations

from collections import deque

_MINUTE_S = 60.0
_AGAIN_S = 10.0  # a face that stays unknown so long has been tried again


class Attempts:
    """Counts unknown faces; too many of them in a minute, and nobody is let in for a minute. Times come in order."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tried: deque[float] = deque()
        self._last: dict[int, float] = {}  # by track
        self._closed_until = float("-inf")

    def obey(self, limit: int) -> None:
        """Another limit from now on."""
        self._limit = limit

    def unknown(self, track: int, at: float) -> None:
        """A face was looked for in the gallery and not found."""
        if at - self._last.get(track, float("-inf")) < _AGAIN_S:
            return
        self._last = {known: since for known, since in self._last.items() if at - since < _AGAIN_S}
        self._last[track] = at
        self._tried.append(at)
        while at - self._tried[0] >= _MINUTE_S:
            self._tried.popleft()
        if len(self._tried) > self._limit:
            self._closed_until = at + _MINUTE_S

    def is_closed(self, at: float) -> bool:
        return at < self._closed_until
