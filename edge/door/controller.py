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
from edge.door.timing import DoorTiming, LatchedStates
from edge.values import FRAME_AGE_MAX_S, DoorEvent, Grant

MAX_GRANT_AGE_S = FRAME_AGE_MAX_S
_REMEMBERED_GRANTS = 256
_GRACE_S = 1.0  # a door that is pushed open just as it locks was not forced


class InputKind(str, Enum):
    """What is wired to the door; each is a level, active or not."""

    CONTACT = "contact"  # active: the door stands open
    EXIT = "exit"  # the button beside the door (REX)
    FIRE = "fire"
    TAMPER = "tamper"


class Command(str, Enum):
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
        self._open_for = ""  # the reason for which it was energised last
        self._cut_short = ""  # by what
        self.events: list[DoorEvent] = []

    # ---------------------------------------------------------------- what the relays must be

    @property
    def energised(self) -> bool:
        return self._energised

    @property
    def alarm(self) -> bool:
        return bool(self.alarms)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Those that are on."""
        on = (
            ("held-open", self._held_open), ("forced-open", self._forced), ("kept-open", self._kept_open),
            ("exit-stuck", self._stuck), ("tamper", self._tamper),
        )  # fmt: skip
        return tuple(name for name, active in on if active)

    @property
    def levels(self) -> dict[InputKind, bool | None]:
        """Of all inputs; None for those not heard of."""
        return dict(self._active)

    @property
    def relocks_at(self) -> float:
        """Time when the lock closes by itself; in the past if it is closed or stays open."""
        if self._fire or self._active[InputKind.EXIT]:
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
    def reason(self) -> str:
        """Why the door is as it is, by the highest reason there is."""
        if self._fire:
            return "fire"
        if self._exit_open:
            return "exit"
        if self._lockdown:
            return "lockdown"
        if self._held:
            return "held"
        if self._now < self._operator_until:
            return "operator"
        if self._window is not ScheduledMode.NORMAL:
            return f"schedule-{self._window.value}"
        return "pulse" if self._now < self._until else "rest"

    @property
    def deadline(self) -> float | None:
        """When something changes by itself; None where nothing will."""
        waiting = [
            at for at in (self._until, self._operator_until, self._exit_until) if at > self._now
        ]
        if self._pressed_at is not None and not self._stuck:
            waiting.append(self._pressed_at + self._rules.held_open_s)
        if self._busy_since is not None and not self._kept_open:
            waiting.append(self._busy_since + self._rules.busy_s)
        if self._opened_at is not None and not self._held_open and not self._open_by_right:
            waiting.append(self._opened_at + self._rules.held_open_s)
        return min(waiting, default=None)

    @property
    def _exit_open(self) -> bool:
        return bool(self._active[InputKind.EXIT]) or self._now < self._exit_until

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

    def check(self, grant: Grant, now: float) -> str | None:
        """Why a grant must be refused now, None where it may open the lock."""
        age = now - grant.frame_at
        if not -0.05 <= age <= MAX_GRANT_AGE_S:  # also refuses a time that is not a number
            return "stale"
        if grant.id in self._recent:
            return "replayed"
        if self._tamper:
            return "tamper"
        if self._lockdown:
            return "lockdown"
        if self._window is ScheduledMode.LOCKED:
            return "schedule"
        return "kept-open" if self._kept_open else None

    def open(self, grant: Grant, now: float) -> None:
        """Open for one pulse from now on; the caller has checked and recorded the grant."""
        self._recent.append(grant.id)
        self._until = max(self._until, now + self._rules.pulse_of(grant))
        self.tick(now)

    def sense(self, which: InputKind, active: bool, now: float) -> None:
        """A settled level of an input."""
        self.tick(now)  # reasons that are over must not excuse what happens now
        known, self._active[which] = self._active[which], active
        if known == active:
            return
        if active or known is not None:
            self._say(f"{which.value}-{'active' if active else 'quiet'}", "input", now)
        if which is InputKind.FIRE and active:
            self._latch_fire(now)
        elif which is InputKind.EXIT:
            self._exit(active, now)
        elif which is InputKind.TAMPER and active and not self._tamper:
            self._tamper = True
            self._until = self._operator_until = -math.inf
            self._cut_short = "tamper"
            self._say("tamper", "opened", now)
        elif which is InputKind.CONTACT and active and known is None:
            self._opened_at = now  # it stood open before this process began: nobody saw it forced
        elif which is InputKind.CONTACT:
            self._contact(active, now)
        self.tick(now)

    def command(self, command: Command, now: float) -> str | None:
        """Do what an operator asks; why not, where it cannot be."""
        refused = self._refuse(command)
        if refused is not None:
            return refused
        if command is Command.UNLOCK:
            self._operator_until = max(self._operator_until, now + self._rules.pulse_s)
        elif command is Command.HOLD:
            self._held = True
        elif command is Command.LOCKDOWN:
            self._lockdown, self._held = True, False
            self._until = self._operator_until = -math.inf
        elif command is Command.RELEASE:
            self._lockdown = self._held = False
        elif command is Command.RESET_FIRE:
            self._fire = False
        else:
            self._tamper = False
        self._say(command.value, "operator", now)
        self.tick(now)
        return None

    def _refuse(self, command: Command) -> str | None:
        if command in (Command.UNLOCK, Command.HOLD) and self._lockdown:
            return "lockdown: release it first"
        if command is Command.RESET_FIRE and self._active[InputKind.FIRE]:
            return "the fire input is still active"
        if command is Command.RESET_TAMPER and self._active[InputKind.TAMPER]:
            return "the case is still open"
        return None

    def schedule(self, window: ScheduledMode, now: float) -> None:
        """What the schedule says from now on."""
        if window is not self._window:
            self._window = window
            if window is ScheduledMode.LOCKED:
                self._until = -math.inf
            self._say("schedule", window.value, now)
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
            over = self._cut_short or f"{self._open_for}-over"
            self._say("relocked", over if self.reason == "rest" else self.reason, self._now)
        elif self._energised and not before and self.reason != "pulse":
            self._say("unlocked", self.reason, self._now)
        if self._energised:
            self._open_for, self._cut_short = self.reason, ""
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
            self._say("fire", "input", now)

    def _exit(self, pressed: bool, now: float) -> None:
        self._pressed_at = now if pressed else None
        if pressed:
            self._exit_until = now + self._rules.exit_s
        elif self._stuck:
            self._stuck = False
            self._say("alarm-ended", "exit-stuck", now)

    def _contact(self, opened: bool, now: float) -> None:
        if opened:
            self._opened_at = now
            if not self._energised and now - self._locked_since > _GRACE_S:
                self._forced = True
                self._say("alarm", "forced-open", now)
            self._cut("opened")
            return
        self._opened_at = None
        self._cut("closed")
        for kind, on in (("held-open", self._held_open), ("forced-open", self._forced)):
            if on:
                self._say("alarm-ended", kind, now)
        self._held_open = self._forced = False

    def _cut(self, moved: str) -> None:
        """End pulses where the rules say so of what the door's leaf just did."""
        if self._rules.relock == moved:
            self._until = self._operator_until = self._exit_until = -math.inf
            self._cut_short = "contact"

    def _watch_contact(self) -> None:
        """Held open: the contact says so longer than it may, and nothing gives it the right to stand open."""
        if self._opened_at is None:
            return
        if self._open_by_right:
            self._opened_at = self._now  # the time counts from when the right ends
            if self._held_open:
                self._held_open = False
                self._say("alarm-ended", "held-open", self._now)
        elif not self._held_open and self._now >= self._opened_at + self._rules.held_open_s:
            self._held_open = True
            self._say("alarm", "held-open", self._now)

    def _watch_exit(self) -> None:
        """A button that is stuck, or was wedged, opens for ever: it may, but not in silence."""
        if (
            self._pressed_at is not None
            and not self._stuck
            and self._now >= self._pressed_at + self._rules.held_open_s
        ):
            self._stuck = True
            self._say("alarm", "exit-stuck", self._now)

    def _watch_grants(self) -> None:
        """Whoever asks without end must not hold the lock open: nobody is let in anew until it has locked."""
        if not (self._energised and self.reason == "pulse"):
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = self._now
        elif not self._kept_open and self._now >= self._busy_since + self._rules.busy_s:
            self._kept_open = True
            self._say("alarm", "kept-open", self._now)
        if self._kept_open and not self._energised:
            self._kept_open = False
            self._say("alarm-ended", "kept-open", self._now)

    def _say(self, event: str, reason: str, now: float) -> None:
        self.events.append(DoorEvent(event, reason, now))
