"""Rate limiter for unknown faces, against presenting many different faces to the door. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

_MINUTE_S = 60.0
_TOGETHER_S = 1.0  # tracks that end within this time were presented together
_GROUP = 8  # such tracks count as one attempt: visitors in a group, or a poster, are no attack
_CHANGE_S = 10.0  # a track whose face changes counts again, at most this often


@dataclass(slots=True)
class _Ended:
    """Tracks that ended unknown together."""

    at: float
    tracks: int


@dataclass(slots=True)
class _Unknown:
    """Live track whose face matched no one in the gallery."""

    face: int
    counted_at: float


class UnknownFaceLimiter:
    """Refuse every grant for a minute after more than `limit` attempts in a minute.

    A track is one attempt, counted when it ends and was never recognised. Poor frames of an
    enrolled person therefore do not count. A track whose face turns into another one counts
    without ending. Times are monotonic seconds and come in order.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unknown: dict[int, _Unknown] = {}
        self._known: set[int] = set()
        self._ended: deque[_Ended] = deque()
        self._closed_until = -math.inf

    def update_limit(self, limit: int) -> None:
        """Apply another limit from now on."""
        self._limit = limit

    def note_unknown(self, track: int, face: int, at: float) -> None:
        """Note a frame of a track that matched no one; `face` counts the faces the track had."""
        seen = self._unknown.setdefault(track, _Unknown(face, at))
        changed = face != seen.face and track not in self._known
        if changed and at - seen.counted_at >= _CHANGE_S:
            seen.face, seen.counted_at = face, at
            self._count(1, at)

    def note_known(self, track: int) -> None:
        """Note a frame of a track that matched an enrolled person."""
        self._known.add(track)

    def retain_tracks(self, tracks: Iterable[int], at: float) -> None:
        """Count the tracks that have ended unknown: all except these."""
        live = set(tracks)
        ended = self._unknown.keys() - live
        self._count(len(ended - self._known), at)
        for track in ended:
            del self._unknown[track]
        self._known &= live

    def is_exceeded(self, at: float) -> bool:
        """Return True if no one may be granted access now."""
        return at < self._closed_until

    def _count(self, tracks: int, at: float) -> None:
        if not tracks:
            return
        if self._ended and at - self._ended[-1].at < _TOGETHER_S:
            self._ended[-1].tracks += tracks
        else:
            self._ended.append(_Ended(at, tracks))
        while at - self._ended[0].at >= _MINUTE_S:
            self._ended.popleft()
        if sum(math.ceil(ended.tracks / _GROUP) for ended in self._ended) > self._limit:
            self._closed_until = at + _MINUTE_S
