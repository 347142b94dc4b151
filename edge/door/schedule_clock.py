"""Mode of the schedule by a wall clock that may be untrusted."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

from edge.access.schedule import Schedule, ScheduledMode
from edge.door.clock_trust import describe_doubt
from edge.system.wallclock import REMEDY, ClockDoubt, WallClock

log = logging.getLogger(__name__)


class ScheduleClock:
    """Reads the mode that a schedule gives now; logs changes of the trust in the clock."""

    def __init__(self, wall: WallClock) -> None:
        self.wall = wall
        self._doubt: ClockDoubt | None = None  # logged last
        self._has_failed = False

    def mode(self, schedule: Schedule) -> ScheduledMode:
        """Return the present mode, the strictest one if the schedule fails. Never raises."""
        try:
            now, doubt = self.wall.read_with_doubt()
            self._log_doubt(doubt)
            mode = schedule.mode_at(
                datetime.fromtimestamp(now, timezone.utc), clock_trusted=doubt is None
            )
        except Exception:  # an unlocked door must still be locked at its time
            strictest = schedule.strictest
            if not self._has_failed:
                log.exception("schedule failed: the mode is %s until it works", strictest.value)
            self._has_failed = True
            return strictest
        self._has_failed = False
        return mode

    def _log_doubt(self, doubt: ClockDoubt | None) -> None:
        if doubt is self._doubt:
            return
        self._doubt = doubt
        if doubt is None:
            log.info("the clock is trusted again")
        else:
            log.warning("%s; no door is open by schedule; %s", describe_doubt(doubt), REMEDY)
