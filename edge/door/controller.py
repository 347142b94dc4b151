"""Rules of one door as a pure state machine: locked by default, reasons to unlock are ranked.

    fire > exit button > operator (lockdown, hold, unlock) > schedule > grant

Times are arguments in monotonic seconds. Hardware, wall clock and audit log belong to the service.
`Controller` gets what happened and returns the required relay states; `events` collects what
happened until the service takes it.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from edge.access.schedule import ScheduledMode
from edge.door.alarms import DoorAlarms
from edge.door.events import (
    DoorAlarm,
    DoorEventCode,
    DoorRefusal,
    EventCause,
    LockReason,
    ended_cause,
)
from edge.door.timing import DoorTiming, LatchedStates, Relock
from edge.values import FRAME_AGE_MAX_S, DoorEvent, Grant

MAX_GRANT_AGE_S = FRAME_AGE_MAX_S
_CLOCK_SLACK_S = 0.05  # a frame may be dated this far ahead
_REMEMBERED_GRANTS = 256
_GRACE_S = 1.0  # a door that opens within this time after locking was not forced


class InputKind(str, Enum):
    """Kind of an input; each is a level, active or inactive."""

    CONTACT = "contact"  # active: the door is open
    REX = "rex"  # request to exit: the button on the inside
    FIRE = "fire"
    TAMPER = "tamper"
    MANTRAP = "mantrap"  # active: the other door of a mantrap is unlocked or open
    PASSAGE = "passage"  # active: the passage sensor sees a person


class OperatorCommand(str, Enum):
    """Command of an operator."""

    UNLOCK = "unlock"  # once, for a pulse
    HOLD = "hold"  # unlocked until released
    LOCKDOWN = "lockdown"  # only fire and exit button unlock, until released
    RELEASE = "release"  # ends hold and lockdown
    RESET_FIRE = "reset-fire"
    RESET_TAMPER = "reset-tamper"
    RESET_DURESS = "reset-duress"


class Controller:
    """State machine of one door. `energised` and `alarm` are the required states of its relays."""

    def __init__(self, timing: DoorTiming, latches: LatchedStates = LatchedStates()) -> None:
        self._timing = timing
        self._fire, self._lockdown, self._tamper = latches.fire, latches.lockdown, latches.tamper
        self._duress = latches.duress
        self._held = False
        self._mode = ScheduledMode.NORMAL
        self._levels: dict[InputKind, bool | None] = dict.fromkeys(InputKind)  # None: unknown
        self._grant_ends_at = self._operator_ends_at = self._rex_ends_at = -math.inf
        self._locked_since = -math.inf
        self._alarms = DoorAlarms(self._emit)
        self._recent: deque[str] = deque(maxlen=_REMEMBERED_GRANTS)
        self._now = -math.inf
        self._energised = False
        self._unlock_reason = LockReason.NORMAL  # of the latest unlock
        self._cut_short: EventCause | None = None  # what ended a pulse early
        self.events: list[DoorEvent] = []

    # ---------------------------------------------------------------- required states

    @property
    def energised(self) -> bool:
        return self._energised

    @property
    def alarm(self) -> bool:
        """True if the alarm relay must be energised: a silent alarm counts only if configured."""
        silent = set() if self._timing.alarm_on_duress else {DoorAlarm.DURESS}
        return bool(set(self.alarms) - silent)

    @property
    def alarms(self) -> tuple[DoorAlarm, ...]:
        """Active alarms."""
        active = set(self._alarms.active)
        active |= {DoorAlarm.TAMPER} if self._tamper else set()
        active |= {DoorAlarm.DURESS} if self._duress else set()
        return tuple(alarm for alarm in DoorAlarm if alarm in active)

    @property
    def levels(self) -> dict[InputKind, bool | None]:
        """Levels of all inputs; None for an input without a settled level."""
        return dict(self._levels)

    @property
    def relocks_at(self) -> float:
        """Time when the door locks by itself; in the past if it is locked or stays unlocked."""
        if self._fire or self._levels[InputKind.REX]:
            return -math.inf
        if self._lockdown:
            return self._rex_ends_at
        if self._held or self._mode is ScheduledMode.OPEN:
            return -math.inf
        return max(self._grant_ends_at, self._operator_ends_at, self._rex_ends_at)

    @property
    def latches(self) -> LatchedStates:
        return LatchedStates(self._fire, self._lockdown, self._tamper, self._duress)

    @property
    def reason(self) -> LockReason:
        """Why the door is locked or unlocked: the first reason that applies."""
        if self._fire:
            return LockReason.FIRE
        if self._is_rex_open:
            return LockReason.REX
        if self._lockdown:
            return LockReason.LOCKDOWN
        if self._held:
            return LockReason.HOLD
        if self._now < self._operator_ends_at:
            return LockReason.OPERATOR
        if self._mode is ScheduledMode.OPEN:
            return LockReason.SCHEDULE_OPEN
        if self._mode is ScheduledMode.LOCKED:
            return LockReason.SCHEDULE_LOCKED
        return LockReason.PULSE if self._now < self._grant_ends_at else LockReason.NORMAL

    @property
    def deadline(self) -> float | None:
        """Time of the next change without an event, None if there is none."""
        pulses = (self._grant_ends_at, self._operator_ends_at, self._rex_ends_at)
        alarms = self._alarms.start_times(self._timing, may_stand_open=self._may_stand_open)
        return min([*(at for at in pulses if at > self._now), *alarms], default=None)

    @property
    def _is_rex_open(self) -> bool:
        return bool(self._levels[InputKind.REX]) or self._now < self._rex_ends_at

    @property
    def _may_stand_open(self) -> bool:
        """True if the door may stand open without a time limit."""
        is_open_mode = self._held or self._mode is ScheduledMode.OPEN
        return self._fire or (not self._lockdown and is_open_mode)

    # ---------------------------------------------------------------- events

    def update_timing(self, timing: DoorTiming) -> None:
        """Use another timing; a running pulse keeps its end."""
        self._timing = timing

    def check(self, grant: Grant, now: float) -> DoorRefusal | None:
        """Return why a grant must be refused now, None if it may unlock the door."""
        age = now - grant.frame_at
        if not -_CLOCK_SLACK_S <= age <= MAX_GRANT_AGE_S:  # also refuses NaN
            return DoorRefusal.STALE
        if grant.id in self._recent:
            return DoorRefusal.REPLAYED
        if self._tamper:
            return DoorRefusal.TAMPER
        if self._lockdown:
            return DoorRefusal.LOCKDOWN
        if self._mode is ScheduledMode.LOCKED:
            return DoorRefusal.SCHEDULE
        if DoorAlarm.MAX_UNLOCK_EXCEEDED in self._alarms.active:
            return DoorRefusal.MAX_UNLOCK_EXCEEDED
        return None

    def unlock(self, grant: Grant, now: float) -> None:
        """Unlock for one pulse; the caller has checked and recorded the grant."""
        self._recent.append(grant.id)
        self._grant_ends_at = max(self._grant_ends_at, now + self._timing.pulse_for(grant))
        self.tick(now)

    def update_input(self, kind: InputKind, active: bool, now: float) -> None:
        """Take the settled level of an input."""
        self.tick(now)  # a reason that is over must not excuse what happens now
        known, self._levels[kind] = self._levels[kind], active
        if known == active:
            return
        if active or known is not None:
            level = "active" if active else "inactive"
            self._emit(DoorEventCode(f"{kind.value}-{level}"), EventCause.INPUT, now)
        if kind is InputKind.FIRE and active:
            self._latch_fire(now)
        elif kind is InputKind.REX:
            self._update_rex(active, now)
        elif kind is InputKind.TAMPER and active:
            self._latch_tamper(now)
        elif kind is InputKind.CONTACT and active and known is None:
            self._alarms.contact_opened(now, is_forced=False)  # open since before the start
        elif kind is InputKind.CONTACT:
            self._update_contact(active, now)
        self.tick(now)

    def passed(self, now: float) -> None:
        """Note that the person of the last grant has passed.

        Pulses of the exit button and of operators go on: anyone outside can trigger the sensor.
        """
        if self._timing.relock == "on_passage":
            self._grant_ends_at = -math.inf
            self._cut_short = EventCause.SENSOR
        self.tick(now)

    def start_duress(self) -> None:
        """Start the silent alarm of a duress PIN; it lasts until an operator resets it."""
        self._duress = True

    def execute(self, command: OperatorCommand, now: float) -> DoorRefusal | None:
        """Execute an operator's command; return why it is refused, None if it was done."""
        refused = self._refuse(command)
        if refused is not None:
            return refused
        if command is OperatorCommand.UNLOCK:
            self._operator_ends_at = max(self._operator_ends_at, now + self._timing.pulse_s)
        elif command is OperatorCommand.HOLD:
            self._held = True
        elif command is OperatorCommand.LOCKDOWN:
            self._lockdown, self._held = True, False
            self._grant_ends_at = self._operator_ends_at = -math.inf
        elif command is OperatorCommand.RELEASE:
            self._lockdown = self._held = False
        elif command is OperatorCommand.RESET_FIRE:
            self._fire = False
        elif command is OperatorCommand.RESET_TAMPER:
            self._tamper = False
        else:
            self._duress = False
        self._emit(DoorEventCode(command.value), EventCause.OPERATOR, now)
        self.tick(now)
        return None

    def update_schedule(self, mode: ScheduledMode, now: float) -> None:
        """Take the mode that the schedule gives from now on."""
        if mode is not self._mode:
            self._mode = mode
            if mode is ScheduledMode.LOCKED:
                self._grant_ends_at = -math.inf
            self._emit(DoorEventCode.SCHEDULE, mode.value, now)
        self.tick(now)

    def tick(self, now: float) -> bool:
        """Advance the time; return True if the lock relay must change.

        A time before the latest one counts as the latest one.
        """
        self._now = max(self._now, now)
        self._alarms.update_open(self._now, self._timing, may_stand_open=self._may_stand_open)
        self._alarms.update_rex(self._now, self._timing)
        before, self._energised = self._energised, self._must_unlock()
        self._alarms.update_granted(
            self._now,
            self._timing,
            is_unlocked=self._energised,
            by_grant=self.reason is LockReason.PULSE,
        )
        if before and not self._energised:
            self._locked_since = self._now
            self._emit(DoorEventCode.RELOCKED, self._relock_cause(), self._now)
        elif self._energised and not before and self.reason is not LockReason.PULSE:
            self._emit(DoorEventCode.UNLOCKED, self.reason, self._now)
        if self._energised:
            self._unlock_reason, self._cut_short = self.reason, None
        return before != self._energised

    def lock(self) -> None:
        """Lock at once and drop every reason to unlock, as the process ends."""
        self._grant_ends_at = self._operator_ends_at = self._rex_ends_at = -math.inf
        self._held = self._energised = False

    # ---------------------------------------------------------------- rules

    def _refuse(self, command: OperatorCommand) -> DoorRefusal | None:
        if command in (OperatorCommand.UNLOCK, OperatorCommand.HOLD) and self._lockdown:
            return DoorRefusal.LOCKDOWN
        if command is OperatorCommand.RESET_FIRE and self._levels[InputKind.FIRE]:
            return DoorRefusal.FIRE_INPUT_ACTIVE
        if command is OperatorCommand.RESET_TAMPER and self._levels[InputKind.TAMPER]:
            return DoorRefusal.CASE_OPEN
        return None

    def _must_unlock(self) -> bool:
        if self._fire or self._is_rex_open:
            return True
        if self._lockdown:
            return False
        if self._held or self._now < self._operator_ends_at:
            return True
        if self._mode is not ScheduledMode.NORMAL:
            return self._mode is ScheduledMode.OPEN
        return self._now < self._grant_ends_at

    def _relock_cause(self) -> str:
        if self.reason is not LockReason.NORMAL:
            return self.reason
        return self._cut_short or ended_cause(self._unlock_reason)

    def _latch_fire(self, now: float) -> None:
        if not self._fire:
            self._fire = True
            self._emit(DoorEventCode.FIRE, EventCause.INPUT, now)

    def _latch_tamper(self, now: float) -> None:
        if not self._tamper:
            self._tamper = True
            self._grant_ends_at = self._operator_ends_at = -math.inf
            self._cut_short = EventCause.TAMPER
            self._emit(DoorEventCode.TAMPER, EventCause.CASE_OPENED, now)

    def _update_rex(self, pressed: bool, now: float) -> None:
        if pressed:
            self._rex_ends_at = now + self._timing.rex_pulse_s
            self._alarms.rex_pressed(now)
        else:
            self._alarms.rex_released(now)

    def _update_contact(self, opened: bool, now: float) -> None:
        if opened:
            is_forced = not self._energised and now - self._locked_since > _GRACE_S
            self._alarms.contact_opened(now, is_forced=is_forced)
            self._relock("on_open", EventCause.CONTACT)
        else:
            self._relock("on_close", EventCause.CONTACT)
            self._alarms.contact_closed(now)

    def _relock(self, moved: Relock, cause: EventCause) -> None:
        """End all pulses if the timing relocks on this movement of the door."""
        if self._timing.relock == moved:
            self._grant_ends_at = self._operator_ends_at = self._rex_ends_at = -math.inf
            self._cut_short = cause

    def _emit(self, event: DoorEventCode, reason: str, now: float) -> None:
        self.events.append(DoorEvent(event, reason, now))
