"""Alarms of a door, and the times after which they start."""

from __future__ import annotations

from collections.abc import Callable

from edge.door.events import DoorAlarm, DoorEventCode
from edge.door.timing import DoorTiming

Emit = Callable[[DoorEventCode, DoorAlarm, float], None]


class DoorAlarms:
    """Alarms from the door contact, the exit button and the time unlocked by grants.

    Pure: times are arguments in monotonic seconds. `emit` gets event, alarm and time when an alarm
    starts or ends.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._active: set[DoorAlarm] = set()
        self._open_since: float | None = None  # counted from the end of a right to stand open
        self._pressed_since: float | None = None
        self._granted_since: float | None = None  # unlocked by grants alone

    @property
    def active(self) -> frozenset[DoorAlarm]:
        return frozenset(self._active)

    def contact_opened(self, now: float, *, is_forced: bool) -> None:
        self._open_since = now
        if is_forced:
            self._start(DoorAlarm.FORCED_OPEN, now)

    def contact_closed(self, now: float) -> None:
        self._open_since = None
        self._end(DoorAlarm.HELD_OPEN, now)
        self._end(DoorAlarm.FORCED_OPEN, now)

    def rex_pressed(self, now: float) -> None:
        self._pressed_since = now

    def rex_released(self, now: float) -> None:
        self._pressed_since = None
        self._end(DoorAlarm.REX_STUCK, now)

    def update_open(self, now: float, timing: DoorTiming, *, may_stand_open: bool) -> None:
        """Start or end the held-open alarm."""
        if self._open_since is None:
            return
        if may_stand_open:
            self._open_since = now
            self._end(DoorAlarm.HELD_OPEN, now)
        elif now >= self._open_since + timing.held_open_s:
            self._start(DoorAlarm.HELD_OPEN, now)

    def update_rex(self, now: float, timing: DoorTiming) -> None:
        """Start the alarm of a stuck exit button, which keeps the door unlocked."""
        if self._pressed_since is not None and now >= self._pressed_since + timing.held_open_s:
            self._start(DoorAlarm.REX_STUCK, now)

    def update_granted(
        self, now: float, timing: DoorTiming, *, is_unlocked: bool, by_grant: bool
    ) -> None:
        """Start or end the alarm of a door that grants keep unlocked.

        It lasts until the door has locked. Endless grants cannot hold the door open.
        """
        if not (is_unlocked and by_grant):
            self._granted_since = None
        elif self._granted_since is None:
            self._granted_since = now
        elif now >= self._granted_since + timing.max_grant_unlock_s:
            self._start(DoorAlarm.MAX_UNLOCK_EXCEEDED, now)
        if not is_unlocked:
            self._end(DoorAlarm.MAX_UNLOCK_EXCEEDED, now)

    def start_times(self, timing: DoorTiming, *, may_stand_open: bool) -> list[float]:
        """Return when the alarms start that are inactive and wait for a time."""
        waiting = [
            (DoorAlarm.REX_STUCK, self._pressed_since, timing.held_open_s),
            (DoorAlarm.MAX_UNLOCK_EXCEEDED, self._granted_since, timing.max_grant_unlock_s),
        ]
        if not may_stand_open:
            waiting.append((DoorAlarm.HELD_OPEN, self._open_since, timing.held_open_s))
        return [
            since + limit_s
            for alarm, since, limit_s in waiting
            if since is not None and alarm not in self._active
        ]

    def _start(self, alarm: DoorAlarm, now: float) -> None:
        if alarm not in self._active:
            self._active.add(alarm)
            self._emit(DoorEventCode.ALARM, alarm, now)

    def _end(self, alarm: DoorAlarm, now: float) -> None:
        if alarm in self._active:
            self._active.remove(alarm)
            self._emit(DoorEventCode.ALARM_ENDED, alarm, now)
