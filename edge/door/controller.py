"""The lock's rules as a pure state machine: rest is locked, and each reason to open has its place.

    fire > exit button > operator (lockdown, held open, unlocked once) > schedule > grant

Time is an argument (monotonic seconds); hardware, wall clock and records are the service's. `Controller` is told what
happened and answers what the relays must be; what it did in between lies in `events` until the service takes it.
"""

from __future__ import annotations

import math
from collections import deque
from enum import Enum

from edge.access.schedule import ScheduledMode
from edge.door.events import (
    DoorAlarm,
    DoorEventCode,
    DoorRefusal,
    EventCause,
    LockReason,
    ended_cause,
)
from edge.door.timing import DoorTiming, LatchedStates
from edge.values import FRAME_AGE_MAX_S, DoorEvent, Grant

MAX_GRANT_AGE_S = FRAME_AGE_MAX_S
_REMEMBERED_GRANTS = 256
_GRACE_S = 1.0  # a door that is pushed open just as it locks was not forced


class InputKind(str, Enum):
    """What is wired to the door; each is a level, active or not."""

    CONTACT = "contact"  # active: the door stands open
    REX = "rex"  # the exit button next to the door
    FIRE = "fire"
    TAMPER = "tamper"


class OperatorCommand(str, Enum):
    """What an operator can ask for."""

    UNLOCK = "unlock"  # once, for a pulse
    HOLD = "hold"  # open until released
    LOCKDOWN = "lockdown"  # nobody but fire and exit button, until released
    RELEASE = "release"  # ends hold and lockdown
    RESET_FIRE = "reset-fire"
    RESET_TAMPER = "reset-tamper"


class Controller:
    """One door. `energised` and `alarm` are what its two relays must be; the service makes it so."""

    def __init__(self, rules: DoorTiming, latches: LatchedStates = LatchedStates()) -> None:
        self._rules = rules
        self._fire, self._lockdown, self._tamper = latches.fire, latches.lockdown, latches.tamper
        self._held = False
        self._window = ScheduledMode.NORMAL
        self._active: dict[InputKind, bool | None] = dict.fromkeys(
            InputKind
        )  # None: not heard of yet
        self._until = self._operator_until = (
            self._exit_until
        ) = -math.inf  # ends of pulses: of grants, operators, the exit button
        self._opened_at: float | None = None  # of the contact
        self._pressed_at: float | None = None  # of the exit button
        self._busy_since: float | None = None  # open by grants alone
        self._locked_since = -math.inf
        self._held_open = self._forced = self._stuck = self._kept_open = False
        self._recent: deque[str] = deque(maxlen=_REMEMBERED_GRANTS)
        self._now = -math.inf
        self._energised = False
        self._open_for = LockReason.NORMAL  # the reason for which it was energised last
        self._cut_short: EventCause | None = None
        self.events: list[DoorEvent] = []

    # ---------------------------------------------------------------- what the relays must be

    @property
    def energised(self) -> bool:
        return self._energised

    @property
    def alarm(self) -> bool:
        return bool(self.alarms)

    @property
    def alarms(self) -> tuple[DoorAlarm, ...]:
        """Active alarms."""
        states = (
            (DoorAlarm.HELD_OPEN, self._held_open),
            (DoorAlarm.FORCED_OPEN, self._forced),
            (DoorAlarm.MAX_UNLOCK_EXCEEDED, self._kept_open),
            (DoorAlarm.REX_STUCK, self._stuck),
            (DoorAlarm.TAMPER, self._tamper),
        )
        return tuple(alarm for alarm, is_active in states if is_active)

    @property
    def levels(self) -> dict[InputKind, bool | None]:
        """Of all inputs; None for those not heard of."""
        return dict(self._active)

    @property
    def relocks_at(self) -> float:
        """Time when the lock closes by itself; in the past if it is closed or stays open."""
        if self._fire or self._active[InputKind.REX]:
            return -math.inf
        if self._lockdown:
            return self._exit_until
        if self._held or self._window is ScheduledMode.OPEN:
            return -math.inf
        return max(self._until, self._operator_until, self._exit_until)

    @property
    def latches(self) -> LatchedStates:
        return LatchedStates(self._fire, self._lockdown, self._tamper)

    @property
    def reason(self) -> LockReason:
        """Why the door is locked or unlocked: the first reason that applies."""
        if self._fire:
            return LockReason.FIRE
        if self._exit_open:
            return LockReason.REX
        if self._lockdown:
            return LockReason.LOCKDOWN
        if self._held:
            return LockReason.HOLD
        if self._now < self._operator_until:
            return LockReason.OPERATOR
        if self._window is ScheduledMode.OPEN:
            return LockReason.SCHEDULE_OPEN
        if self._window is ScheduledMode.LOCKED:
            return LockReason.SCHEDULE_LOCKED
        return LockReason.PULSE if self._now < self._until else LockReason.NORMAL

    @property
    def deadline(self) -> float | None:
        """When something changes by itself; None where nothing will."""
        waiting = [
            at for at in (self._until, self._operator_until, self._exit_until) if at > self._now
        ]
        if self._pressed_at is not None and not self._stuck:
            waiting.append(self._pressed_at + self._rules.held_open_s)
        if self._busy_since is not None and not self._kept_open:
            waiting.append(self._busy_since + self._rules.max_grant_unlock_s)
        if self._opened_at is not None and not self._held_open and not self._open_by_right:
            waiting.append(self._opened_at + self._rules.held_open_s)
        return min(waiting, default=None)

    @property
    def _exit_open(self) -> bool:
        return bool(self._active[InputKind.REX]) or self._now < self._exit_until

    @property
    def _open_by_right(self) -> bool:
        """Whether the door may stand open as long as it likes."""
        return self._fire or (
            not self._lockdown and (self._held or self._window is ScheduledMode.OPEN)
        )

    # ---------------------------------------------------------------- what happens

    def update_timing(self, rules: DoorTiming) -> None:
        """Other rules from now on; a running pulse ends when it was to end."""
        self._rules = rules

    def check(self, grant: Grant, now: float) -> DoorRefusal | None:
        """Return why a grant must be refused now, None if it may unlock the door."""
        age = now - grant.frame_at
        if not -0.05 <= age <= MAX_GRANT_AGE_S:  # also refuses a time that is not a number
            return DoorRefusal.STALE
        if grant.id in self._recent:
            return DoorRefusal.REPLAYED
        if self._tamper:
            return DoorRefusal.TAMPER
        if self._lockdown:
            return DoorRefusal.LOCKDOWN
        if self._window is ScheduledMode.LOCKED:
            return DoorRefusal.SCHEDULE
        return DoorRefusal.MAX_UNLOCK_EXCEEDED if self._kept_open else None

    def unlock(self, grant: Grant, now: float) -> None:
        """Open for one pulse from now on; the caller has checked and recorded the grant."""
        self._recent.append(grant.id)
        self._until = max(self._until, now + self._rules.pulse_for(grant))
        self.tick(now)

    def update_input(self, which: InputKind, active: bool, now: float) -> None:
        """A settled level of an input."""
        self.tick(now)  # reasons that are over must not excuse what happens now
        known, self._active[which] = self._active[which], active
        if known == active:
            return
        if active or known is not None:
            level = "active" if active else "inactive"
            self._emit(DoorEventCode(f"{which.value}-{level}"), EventCause.INPUT, now)
        if which is InputKind.FIRE and active:
            self._latch_fire(now)
        elif which is InputKind.REX:
            self._exit(active, now)
        elif which is InputKind.TAMPER and active and not self._tamper:
            self._tamper = True
            self._until = self._operator_until = -math.inf
            self._cut_short = EventCause.TAMPER
            self._emit(DoorEventCode.TAMPER, EventCause.CASE_OPENED, now)
        elif which is InputKind.CONTACT and active and known is None:
            self._opened_at = now  # it stood open before this process began: nobody saw it forced
        elif which is InputKind.CONTACT:
            self._contact(active, now)
        self.tick(now)

    def execute(self, command: OperatorCommand, now: float) -> DoorRefusal | None:
        """Execute an operator's command; return why it is refused, None if it was done."""
        refused = self._refuse(command)
        if refused is not None:
            return refused
        if command is OperatorCommand.UNLOCK:
            self._operator_until = max(self._operator_until, now + self._rules.pulse_s)
        elif command is OperatorCommand.HOLD:
            self._held = True
        elif command is OperatorCommand.LOCKDOWN:
            self._lockdown, self._held = True, False
            self._until = self._operator_until = -math.inf
        elif command is OperatorCommand.RELEASE:
            self._lockdown = self._held = False
        elif command is OperatorCommand.RESET_FIRE:
            self._fire = False
        else:
            self._tamper = False
        self._emit(DoorEventCode(command.value), EventCause.OPERATOR, now)
        self.tick(now)
        return None

    def _refuse(self, command: OperatorCommand) -> DoorRefusal | None:
        if command in (OperatorCommand.UNLOCK, OperatorCommand.HOLD) and self._lockdown:
            return DoorRefusal.LOCKDOWN
        if command is OperatorCommand.RESET_FIRE and self._active[InputKind.FIRE]:
            return DoorRefusal.FIRE_INPUT_ACTIVE
        if command is OperatorCommand.RESET_TAMPER and self._active[InputKind.TAMPER]:
            return DoorRefusal.CASE_OPEN
        return None

    def update_schedule(self, window: ScheduledMode, now: float) -> None:
        """What the schedule says from now on."""
        if window is not self._window:
            self._window = window
            if window is ScheduledMode.LOCKED:
                self._until = -math.inf
            self._emit(DoorEventCode.SCHEDULE, window.value, now)
        self.tick(now)

    def tick(self, now: float) -> bool:
        """Let time pass; whether the lock's relay must change. Time that runs backwards is taken to stand still."""
        self._now = max(self._now, now)
        self._watch_contact()
        self._watch_exit()
        before, self._energised = self._energised, self._wanted()
        self._watch_grants()
        if before and not self._energised:
            self._locked_since = self._now
            cause = self._cut_short or ended_cause(self._open_for)
            is_normal = self.reason is LockReason.NORMAL
            self._emit(DoorEventCode.RELOCKED, cause if is_normal else self.reason, self._now)
        elif self._energised and not before and self.reason is not LockReason.PULSE:
            self._emit(DoorEventCode.UNLOCKED, self.reason, self._now)
        if self._energised:
            self._open_for, self._cut_short = self.reason, None
        return before != self._energised

    def lock(self) -> None:
        """Close at once and forget every reason to open: the process ends."""
        self._until = self._operator_until = self._exit_until = -math.inf
        self._held = self._energised = False

    # ---------------------------------------------------------------- rules

    def _wanted(self) -> bool:
        if self._fire or self._exit_open:
            return True
        if self._lockdown:
            return False
        if self._held or self._now < self._operator_until:
            return True
        if self._window is not ScheduledMode.NORMAL:
            return self._window is ScheduledMode.OPEN
        return self._now < self._until

    def _latch_fire(self, now: float) -> None:
        if not self._fire:
            self._fire = True
            self._emit(DoorEventCode.FIRE, EventCause.INPUT, now)

    def _exit(self, pressed: bool, now: float) -> None:
        self._pressed_at = now if pressed else None
        if pressed:
            self._exit_until = now + self._rules.rex_pulse_s
        elif self._stuck:
            self._stuck = False
            self._emit(DoorEventCode.ALARM_ENDED, DoorAlarm.REX_STUCK, now)

    def _contact(self, opened: bool, now: float) -> None:
        if opened:
            self._opened_at = now
            if not self._energised and now - self._locked_since > _GRACE_S:
                self._forced = True
                self._emit(DoorEventCode.ALARM, DoorAlarm.FORCED_OPEN, now)
            self._cut("on_open")
            return
        self._opened_at = None
        self._cut("on_close")
        for kind, on in (
            (DoorAlarm.HELD_OPEN, self._held_open),
            (DoorAlarm.FORCED_OPEN, self._forced),
        ):
            if on:
                self._emit(DoorEventCode.ALARM_ENDED, kind, now)
        self._held_open = self._forced = False

    def _cut(self, moved: str) -> None:
        """End pulses where the rules say so of what the door's leaf just did."""
        if self._rules.relock == moved:
            self._until = self._operator_until = self._exit_until = -math.inf
            self._cut_short = EventCause.CONTACT

    def _watch_contact(self) -> None:
        """Held open: the contact says so longer than it may, and nothing gives it the right to stand open."""
        if self._opened_at is None:
            return
        if self._open_by_right:
            self._opened_at = self._now  # the time counts from when the right ends
            if self._held_open:
                self._held_open = False
                self._emit(DoorEventCode.ALARM_ENDED, DoorAlarm.HELD_OPEN, self._now)
        elif not self._held_open and self._now >= self._opened_at + self._rules.held_open_s:
            self._held_open = True
            self._emit(DoorEventCode.ALARM, DoorAlarm.HELD_OPEN, self._now)

    def _watch_exit(self) -> None:
        """A button that is stuck, or was wedged, opens for ever: it may, but not in silence."""
        if (
            self._pressed_at is not None
            and not self._stuck
            and self._now >= self._pressed_at + self._rules.held_open_s
        ):
            self._stuck = True
            self._emit(DoorEventCode.ALARM, DoorAlarm.REX_STUCK, self._now)

    def _watch_grants(self) -> None:
        """Whoever asks without end must not hold the lock open: nobody is let in anew until it has locked."""
        if not (self._energised and self.reason is LockReason.PULSE):
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = self._now
        elif not self._kept_open and self._now >= self._busy_since + self._rules.max_grant_unlock_s:
            self._kept_open = True
            self._emit(DoorEventCode.ALARM, DoorAlarm.MAX_UNLOCK_EXCEEDED, self._now)
        if self._kept_open and not self._energised:
            self._kept_open = False
            self._emit(DoorEventCode.ALARM_ENDED, DoorAlarm.MAX_UNLOCK_EXCEEDED, self._now)

    def _emit(self, event: str, reason: str, now: float) -> None:
        self.events.append(DoorEvent(event, reason, now))
