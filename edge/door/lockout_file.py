"""File of the lockouts: readers by name, people by keyed digest, times relative to the save."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge.access.lockout import KEYS_MAX, LOCKS_MAX, LockoutCount
from edge.door.state_file import PendingSave, StateFile, encode_json, load_state
from edge.frozen_model import FrozenModel, Sha256
from edge.system.wallclock import LATEST, WallClock

_RETRY_S = 1.0
_FAILURES_MAX = 100
_LOCK_MAX_S = 86_400.0
_AGE_MAX_S = 1e10

_Seconds = Annotated[float, Field(ge=-_AGE_MAX_S, le=_LOCK_MAX_S, allow_inf_nan=False)]


class SavedLockoutCount(FrozenModel):
    """Failures of a reader or person. Times are seconds after the save, negative before it."""

    failures: int = Field(ge=0, le=_FAILURES_MAX)
    locks: int = Field(ge=0, le=LOCKS_MAX)
    since_s: _Seconds  # see `LockoutCount.since`
    locked_s: _Seconds  # end of the lock

    @classmethod
    def from_count(cls, count: LockoutCount, now: float) -> SavedLockoutCount:
        return cls(
            failures=count.failures,
            locks=count.locks,
            since_s=_clamp(count.since - now),
            locked_s=_clamp(count.locked_until - now),
        )

    def count(self, saved_at: float) -> LockoutCount:
        """Return the count for a save at a time of the monotonic clock."""
        since, locked_until = saved_at + self.since_s, saved_at + self.locked_s
        return LockoutCount(self.failures, since, self.locks, locked_until)


class LockoutDocument(FrozenModel):
    """Content of the file; `wall` is the time of the save, None if the clock was not trusted."""

    version: Literal[1]
    wall: Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)] | None
    readers: dict[str, SavedLockoutCount] = Field(max_length=KEYS_MAX)
    people: dict[Sha256, SavedLockoutCount] = Field(max_length=KEYS_MAX)

    def saved_at(self, wall: WallClock, now: float) -> float:
        """Return the monotonic time of the save.

        It is the present time unless both times are trusted: a lock then lasts longer, not less.
        """
        present, is_trusted = wall.read()
        if self.wall is None or not is_trusted:
            return now
        return now - max(0.0, present - self.wall)


def build_document(
    readers: Mapping[str, LockoutCount],
    people: Mapping[str, LockoutCount],
    wall: WallClock,
    now: float,
) -> LockoutDocument:
    """Return the document of counts of readers by name and people by digest."""
    present, is_trusted = wall.read()
    return LockoutDocument(
        version=1,
        wall=min(round(present, 3), LATEST) if is_trusted else None,
        readers={name: SavedLockoutCount.from_count(one, now) for name, one in readers.items()},
        people={digest: SavedLockoutCount.from_count(one, now) for digest, one in people.items()},
    )


def _clamp(seconds: float) -> float:
    """Return a time that the file may hold: an age grows with each restart."""
    return round(max(-_AGE_MAX_S, min(seconds, _LOCK_MAX_S)), 3)


class LockoutFile:
    """Loads the document, and writes the newest one until it is on disk. Nothing waits here."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path, self._clock = path, clock
        self._file = StateFile(path, encode_json)
        self._document: LockoutDocument | None = None  # submitted last
        self._newest: PendingSave | None = None  # until it is done
        self._failed_at = -math.inf
        self._error = ""  # reported last

    def load(self) -> LockoutDocument | None:
        """Return the document of the previous run, None without a file.

        Raises ValueError for a file that cannot be read.
        """
        exists, value = load_state(self._path)
        if not exists:
            return None
        try:
            return LockoutDocument.model_validate(value)
        except ValueError:
            raise ValueError(f"{self._path}: not a valid file of lockouts") from None

    def submit(self, document: LockoutDocument) -> PendingSave:
        """Queue a document."""
        self._document, self._failed_at = document, -math.inf
        self._newest = self._file.submit(document.model_dump())
        return self._newest

    def run_maintenance(self) -> str:
        """Repeat a save that failed; return its error if the one before did not fail."""
        now, newest = self._clock(), self._newest
        if newest is not None and newest.done.is_set():
            self._newest = None
            before, self._error = self._error, newest.error
            self._failed_at = now if newest.error else -math.inf
            return "" if before else newest.error
        is_due = self._failed_at > -math.inf and now - self._failed_at >= _RETRY_S
        if is_due and self._document is not None:
            self.submit(self._document)
        return ""

    def close(self) -> None:
        """Write the waiting document, for at most a second."""
        self._file.close()
