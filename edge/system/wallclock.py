"""Clock trust: the one place that decides if the wall clock may be used.

Rights, schedules, challenge hours, retention of records and pictures and the erasure of people use
`WallClock`. An untrusted clock neither unlocks nor erases anything.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge.codes import Code
from edge.system.timesync import boot_id, is_synchronised, needs_synchronisation

DAY_S = 86400.0
BUILT_AFTER = 1_767_225_600.0  # 2026-01-01: a clock before this was never set
LATEST = 253_402_300_799.0  # the last second of the year 9999
MAX_JUMP_S = 31 * DAY_S  # ahead of the latest trusted time
_SLACK_S = 60.0  # a clock may be set back by this time
REMEDY = 'set the clock, then run: edge-door trust-clock --reason "why it is right"'


class ClockDoubt(Code):
    """Why the clock is not trusted. Stored in records."""

    NEVER_SET = "before-build-date", "it shows a time before this software was built"
    BEHIND = "before-last-record", "it shows a time before the latest trusted time"
    AHEAD = (
        "far-ahead",
        f"it is over {MAX_JUMP_S / DAY_S:.0f} days ahead of the latest trusted time",
    )
    UNSYNCHRONISED = (
        "never-synchronised",
        "this board has no hardware clock and was not synchronised since boot",
    )


@dataclass(frozen=True, slots=True)
class ClockTrust:
    """Persistent part of the trust in the clock; times in Unix seconds."""

    latest: float = 0.0  # latest trusted time; 0: unknown
    confirmed: float = 0.0  # the time an operator confirmed last; 0: never
    boot: str = ""  # identifier of the boot of this confirmation


class WallClock:
    """Wall clock with the trust in it. May be shared by threads.

    `latest` follows the monotonic clock: time passes while the clock is not trusted as well.
    """

    def __init__(
        self,
        trust: ClockTrust = ClockTrust(),
        read: Callable[[], float] = time.time,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        needs_sync: Callable[[], bool] = needs_synchronisation,
        is_synced: Callable[[], bool] = is_synchronised,
    ) -> None:
        self._trust = trust
        self._read, self._monotonic, self._is_synced = read, monotonic, is_synced
        self._at = monotonic()
        self._lock = threading.Lock()
        confirmed_here = bool(trust.boot) and trust.boot == boot_id()
        self._unsynced = not confirmed_here and needs_sync()

    def read(self) -> tuple[float, bool]:
        """Return Unix seconds, and True if they are trusted."""
        now, doubt = self.read_with_doubt()
        return now, doubt is None

    def read_with_doubt(self) -> tuple[float, ClockDoubt | None]:
        """Return Unix seconds and the doubt about them, None if they are trusted."""
        with self._lock:
            now = self._time()
            latest = self._reached()
            doubt = self._doubt(now, latest)
            if doubt is None:
                latest = max(latest, now)
            self._trust = ClockTrust(latest, self._trust.confirmed, self._trust.boot)
            return now, doubt

    def confirm(self, confirmed: float | None = None) -> ClockDoubt | None:
        """Trust the present time as an operator confirmed it; return the doubt that forbids it.

        `confirmed`: the time of a confirmation that was given to the other process.
        """
        with self._lock:
            now = self._time()
            if not BUILT_AFTER - _SLACK_S <= now <= LATEST:
                return ClockDoubt.NEVER_SET
            self._at, self._unsynced = self._monotonic(), False
            self._trust = ClockTrust(now, now if confirmed is None else confirmed, boot_id())
            return None

    @property
    def trust(self) -> ClockTrust:
        """Trust to be persisted."""
        with self._lock:
            return self._trust

    @property
    def latest(self) -> float:
        """Latest trusted time, in Unix seconds."""
        return self.trust.latest

    def _time(self) -> float:
        now = self._read()
        return now if math.isfinite(now) else 0.0

    def _reached(self) -> float:
        """Return the latest time, advanced by the time since the last check."""
        passed, self._at = self._monotonic() - self._at, self._monotonic()
        latest = self._trust.latest
        return latest + max(0.0, passed) if latest else 0.0

    def _doubt(self, now: float, latest: float) -> ClockDoubt | None:
        if not BUILT_AFTER - _SLACK_S <= now <= LATEST:
            return ClockDoubt.NEVER_SET
        if now < latest - _SLACK_S:
            return ClockDoubt.BEHIND
        if latest and now > latest + MAX_JUMP_S:
            return ClockDoubt.AHEAD
        if self._unsynced and not self._is_synced():
            return ClockDoubt.UNSYNCHRONISED
        self._unsynced = False
        return None
