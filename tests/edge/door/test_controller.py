"""The door's rules against an oracle that is written another way, over random events, restarts and jumps of the clock."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from edge.door.controller import MAX_GRANT_AGE_S, Command, Controller, Input, Window
from edge.door.inputs import Debounce
from edge.door.rules import DoorRules, Latches
from edge.values import Grant

PULSE_S, EXTENDED_S, EXIT_S, HELD_OPEN_S, BUSY_S = 3.0, 8.0, 5.0, 20.0, 10.0


def rules(relock: str = "pulse") -> DoorRules:
    return DoorRules(PULSE_S, EXTENDED_S, EXIT_S, HELD_OPEN_S, relock, BUSY_S)


class Door(RuleBasedStateMachine):
    """Whatever happens: open only for a reason, never longer than its time, fire and exit always answered."""

    make: Callable[..., Controller] = Controller

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.rules = rules()
        self.door = self.make(self.rules)
        self.fire = self.lockdown = self.held = self.tamper = False
        self.window = Window.NORMAL
        self.levels: dict[Input, bool] = {}
        self.pulse_ends = self.operator_ends = self.exit_ends = -math.inf
        self.pressed_at = self.grants_alone_since = math.inf
        self.kept_open = False
        self.used: set[str] = set()
        self.alarms: set[str] = set()

    def oracle(self) -> bool:
        if self.fire or self.levels.get(Input.EXIT) or self.now < self.exit_ends:
            return True
        ordered = self.held or self.now < self.operator_ends
        allowed = not self.lockdown and (ordered or self.window is not Window.LOCKED)
        return allowed and (ordered or self.window is Window.OPEN or self.now < self.pulse_ends)

    def by_grants_alone(self) -> bool:
        """It would be locked if nobody had been let in."""
        pulse_ends, self.pulse_ends = self.pulse_ends, -math.inf
        otherwise, self.pulse_ends = self.oracle(), pulse_ends
        return self.oracle() and not otherwise

    def see(self) -> None:
        """How long it has been open by grants alone, at each moment at which the door looks too."""
        self.grants_alone_since = min(self.grants_alone_since, self.now) if self.by_grants_alone() else math.inf
        self.kept_open = self.oracle() and (self.kept_open or self.now >= self.grants_alone_since + BUSY_S)

    @rule(age=st.floats(-2, 3), name=st.sampled_from("abcd"), fresh=st.booleans(), extended=st.booleans())
    def grant(self, age: float, name: str, fresh: bool, extended: bool) -> None:
        grant_id = f"{name}-{self.now}-{len(self.used)}" if fresh else name
        grant = Grant(grant_id, "Ada", 1, self.now - age, extended)
        refused = self.door.check(grant, self.now)
        if refused is None:
            assert -0.051 <= age <= MAX_GRANT_AGE_S + 1e-6 and grant_id not in self.used
            assert not (self.lockdown or self.tamper or self.window is Window.LOCKED or self.kept_open)
            self.used.add(grant_id)
            self.door.open(grant, self.now)
            assert self.door.energised
            pulse_s = max(self.rules.pulse_s, self.rules.extended_s) if extended else self.rules.pulse_s
            self.pulse_ends = max(self.pulse_ends, self.now + pulse_s)
        elif refused == "replayed":
            assert grant_id in self.used
        else:
            assert {"stale": not -0.05 < age < MAX_GRANT_AGE_S - 1e-6, "tamper": self.tamper, "lockdown": self.lockdown,
                    "schedule": self.window is Window.LOCKED, "kept-open": self.kept_open}[refused]  # fmt: skip

    @rule(gaps=st.lists(st.floats(0.1, PULSE_S), min_size=4, max_size=8))
    def one_after_the_other(self, gaps: list[float]) -> None:
        """Somebody, or something, is let in again before it has locked."""
        for gap in gaps:
            self.wait(gap)
            self.see()
            self.grant(0.0, "", True, False)
            self.see()

    @rule(which=st.sampled_from(Input), active=st.booleans())
    def sense(self, which: Input, active: bool) -> None:
        known, self.levels[which] = self.levels.get(which), active
        self.door.sense(which, active, self.now)
        if which is Input.EXIT and not active:
            self.pressed_at = math.inf
        if known == active or not active:
            return
        if which is Input.FIRE:
            self.fire = True
        elif which is Input.EXIT:
            self.exit_ends, self.pressed_at = self.now + self.rules.exit_s, self.now
        elif which is Input.TAMPER and not self.tamper:
            self.tamper, self.pulse_ends, self.operator_ends = True, -math.inf, -math.inf
        if which in (Input.FIRE, Input.EXIT):
            assert self.door.energised

    @rule(command=st.sampled_from(Command))
    def operate(self, command: Command) -> None:
        refused = self.door.command(command, self.now)
        if command in (Command.UNLOCK, Command.HOLD):
            assert (refused is not None) == self.lockdown
        elif command is Command.RESET_FIRE:
            assert (refused is not None) == bool(self.levels.get(Input.FIRE))
        elif command is Command.RESET_TAMPER:
            assert (refused is not None) == bool(self.levels.get(Input.TAMPER))
        else:
            assert refused is None
        if refused is not None:
            return
        if command is Command.UNLOCK:
            self.operator_ends = max(self.operator_ends, self.now + self.rules.pulse_s)
            assert self.door.energised  # whatever the schedule says
        elif command is Command.HOLD:
            self.held = True
        elif command is Command.LOCKDOWN:
            self.lockdown, self.held, self.pulse_ends, self.operator_ends = True, False, -math.inf, -math.inf
        elif command is Command.RELEASE:
            self.lockdown = self.held = False
        elif command is Command.RESET_FIRE:
            self.fire = False
        else:
            self.tamper = False

    @rule(window=st.sampled_from(Window))
    def schedule(self, window: Window) -> None:
        if window is Window.LOCKED and window is not self.window:
            self.pulse_ends = -math.inf
        self.window = window
        self.door.schedule(window, self.now)

    @rule(factor=st.sampled_from([0.1, 1.0, 3.0]))
    def reload(self, factor: float) -> None:
        """Other times hold from now on; what runs ends when it was to end."""
        self.rules = DoorRules(PULSE_S * factor, EXTENDED_S / factor, EXIT_S * factor, HELD_OPEN_S, busy_s=BUSY_S)
        self.door.obey(self.rules)
        self.door.tick(self.now)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.door.tick(self.now)

    @rule(seconds=st.floats(0, 3600))
    def clock_runs_backwards(self, seconds: float) -> None:
        """A monotonic clock does not; a door must not depend on it."""
        self.door.tick(self.now - seconds)

    @rule()
    def restart(self) -> None:
        """Restrictive states and the fire latch come back; hold-open and running pulses never."""
        latches = self.door.latches
        assert latches == Latches(self.fire, self.lockdown, self.tamper)
        self.door.lock()
        assert not self.door.energised
        self.door = self.make(self.rules, latches)
        assert not self.door.energised
        self.held, self.kept_open = False, False
        self.pulse_ends = self.operator_ends = self.exit_ends = -math.inf
        self.pressed_at = self.grants_alone_since = math.inf
        self.levels, self.alarms, self.window = {}, set(), Window.NORMAL
        self.used = set()  # a grant is void after a second: a restart need not remember it
        self.door.tick(self.now)

    @rule()
    def the_deadline_is_when_something_changes(self) -> None:
        before, deadline = self.door.energised, self.door.deadline
        if deadline is not None:
            assert deadline > self.now
            self.now = math.nextafter(deadline, -math.inf)
            self.door.tick(self.now)
            assert self.door.energised == before

    @invariant()
    def the_relay_follows_the_reasons(self) -> None:
        self.see()
        assert self.door.energised == self.oracle()
        assert ("kept-open" in self.door.alarms) == self.kept_open
        assert ("exit-stuck" in self.door.alarms) == (self.now >= self.pressed_at + HELD_OPEN_S)

    @invariant()
    def alarms_begin_once_and_end_once(self) -> None:
        for event in self.door.events:
            if event.event == "alarm":
                assert event.reason not in self.alarms
                self.alarms.add(event.reason)
            elif event.event == "alarm-ended":
                self.alarms.remove(event.reason)
        self.door.events.clear()
        assert self.door.alarm == (bool(self.alarms) or self.tamper)


# 100,000 steps and more: DOOR_EXAMPLES=2000 python -m pytest tests/edge/door/test_controller.py
STEPS = settings(max_examples=int(os.environ.get("DOOR_EXAMPLES", "150")), stateful_step_count=60, deadline=None)
CAUGHT = settings(STEPS, max_examples=2000, database=None, print_blob=False, report_multiple_bugs=False, phases=[Phase.generate])
TestDoor = Door.TestCase
TestDoor.settings = STEPS


class NeverRelocks(Controller):
    """A pulse that does not end."""

    def _wanted(self) -> bool:
        return super()._wanted() or (self.energised and self.reason == "rest")


class LockdownBeatsExit(Controller):
    """Locks people in."""

    def _wanted(self) -> bool:
        return super()._wanted() and (self._fire or not self._lockdown)


class ForgetsTheFire(Controller):
    """A restart that locks a burning house."""

    def __init__(self, rules: DoorRules, latches: Latches = Latches()) -> None:
        super().__init__(rules, Latches(False, latches.lockdown, latches.tamper))


class HoldsAfterRestart(Controller):
    """Remembers hold-open where it must not."""

    kept = False

    def command(self, command: Command, now: float) -> str | None:
        refused = super().command(command, now)
        type(self).kept = self._held
        return refused

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held = type(self).kept


class AlarmsTwice(Controller):
    """Cries again while the door still stands open."""

    def _watch_contact(self) -> None:
        super()._watch_contact()
        if self._held_open:
            self._say("alarm", "held-open", self._now)


class ScheduleBeatsOperator(Controller):
    """Says done to an operator, and opens nothing."""

    def _wanted(self) -> bool:
        return super()._wanted() and (self.reason != "operator" or self._window is not Window.LOCKED)


class NeverTiresOfGrants(Controller):
    """Open as long as somebody asks."""

    def check(self, grant: Grant, now: float) -> str | None:
        refused = super().check(grant, now)
        return None if refused == "kept-open" else refused


BROKEN = [
    NeverRelocks, LockdownBeatsExit, ForgetsTheFire, HoldsAfterRestart, AlarmsTwice, ScheduleBeatsOperator, NeverTiresOfGrants,
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_controller_is_caught(broken: type[Controller]) -> None:
    class Broken(Door):
        make = broken

        def __init__(self) -> None:
            HoldsAfterRestart.kept = False
            super().__init__()

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=CAUGHT)


# ------------------------------------------------------------------ by example


def opened(relock: str = "pulse") -> Controller:
    door = Controller(rules(relock))
    door.sense(Input.CONTACT, False, 0.0)
    door.open(Grant("g", "Ada", 1, 10.0), 10.0)
    return door


def said(door: Controller) -> list[tuple[str, str]]:
    told = [(event.event, event.reason) for event in door.events]
    door.events.clear()
    return told


def test_rest_is_locked() -> None:
    door = Controller(rules())
    assert not door.energised and not door.alarm and door.deadline is None and door.reason == "rest"
    assert not door.tick(1e12)


@pytest.mark.parametrize("frame_at", [math.nan, math.inf, -math.inf, 8.9, 10.1])
def test_times_that_are_stale_or_impossible_are_refused(frame_at: float) -> None:
    assert Controller(rules()).check(Grant("a", "Ada", 1, frame_at), now=10.0) == "stale"


def test_a_pulse_ends_at_its_deadline() -> None:
    door = opened()
    assert door.deadline == 10 + PULSE_S and not door.tick(12.99)
    assert door.tick(13.0) and not door.energised and said(door) == [("relocked", "pulse-over")]


@pytest.mark.parametrize(
    ("relock", "after_opening", "after_closing"), [("opened", False, False), ("closed", True, False), ("pulse", True, True)]
)
def test_the_contact_may_end_a_pulse(relock: str, after_opening: bool, after_closing: bool) -> None:
    door = opened(relock)
    door.sense(Input.CONTACT, True, 10.5)
    assert door.energised == after_opening
    door.sense(Input.CONTACT, False, 11.0)
    assert door.energised == after_closing and not door.alarm
    door.tick(13.0)
    assert ("relocked", "pulse-over" if relock == "pulse" else "contact") in said(door)


def test_a_door_that_is_opened_without_a_reason_was_forced() -> None:
    door = opened()
    door.tick(13.0)
    door.sense(Input.CONTACT, True, 13.9)  # within the grace: somebody pushed just as it locked
    assert not door.alarm
    door.sense(Input.CONTACT, False, 14.0)
    said(door)
    door.sense(Input.CONTACT, True, 20.0)
    assert door.alarm and said(door) == [("contact-active", "input"), ("alarm", "forced-open")]
    door.sense(Input.CONTACT, False, 25.0)
    assert not door.alarm and said(door) == [("contact-quiet", "input"), ("alarm-ended", "forced-open")]


def test_a_door_that_stood_open_when_the_process_began_was_not_forced() -> None:
    door = Controller(rules())
    door.sense(Input.CONTACT, True, 5.0)
    assert not door.alarm
    door.tick(5.0 + HELD_OPEN_S)
    assert said(door) == [("contact-active", "input"), ("alarm", "held-open")]


def test_held_open_counts_from_the_end_of_the_right_to_stand_open() -> None:
    door = Controller(rules())
    door.sense(Input.CONTACT, False, 0.0)
    door.command(Command.HOLD, 1.0)
    door.sense(Input.CONTACT, True, 2.0)
    door.tick(500.0)
    assert not door.alarm
    door.command(Command.RELEASE, 500.0)
    assert door.deadline == 500.0 + HELD_OPEN_S
    door.tick(500.0 + HELD_OPEN_S)
    assert door.alarm
    door.sense(Input.CONTACT, False, 530.0)
    assert not door.alarm


def test_fire_opens_until_it_is_reset_and_the_level_counts() -> None:
    door = Controller(rules(), Latches(lockdown=True))
    door.sense(Input.FIRE, True, 1.0)
    assert door.energised and door.reason == "fire"
    assert door.command(Command.RESET_FIRE, 2.0) == "the fire input is still active"
    door.sense(Input.FIRE, False, 3.0)
    door.tick(1e6)
    assert door.energised  # latched
    assert door.command(Command.RESET_FIRE, 1e6) is None and not door.energised and door.reason == "lockdown"
    told = said(door)
    assert told[:3] == [("fire-active", "input"), ("fire", "input"), ("unlocked", "fire")]
    assert told[-3:] == [("fire-quiet", "input"), ("reset-fire", "operator"), ("relocked", "lockdown")]


def test_lockdown_refuses_everybody_but_the_exit_button() -> None:
    door = opened()
    assert door.command(Command.LOCKDOWN, 10.5) is None and not door.energised
    assert door.check(Grant("h", "Ada", 1, 11.0), 11.0) == "lockdown"
    assert door.command(Command.UNLOCK, 11.0) == "lockdown: release it first"
    door.sense(Input.EXIT, True, 12.0)
    door.sense(Input.EXIT, False, 12.1)
    assert door.energised and door.reason == "exit"
    door.tick(12.0 + EXIT_S)
    assert not door.energised and door.latches.lockdown


def test_an_opened_case_refuses_grants_until_it_is_reset() -> None:
    door = opened()
    door.sense(Input.TAMPER, True, 10.5)
    assert not door.energised and door.alarm
    assert door.check(Grant("h", "Ada", 1, 11.0), 11.0) == "tamper"
    assert door.command(Command.RESET_TAMPER, 11.0) == "the case is still open"
    door.sense(Input.TAMPER, False, 12.0)
    assert door.alarm and door.command(Command.RESET_TAMPER, 12.0) is None and not door.alarm


def test_an_operator_unlocks_once_in_locked_hours_too() -> None:
    door = Controller(rules())
    door.schedule(Window.LOCKED, 1.0)
    said(door)
    assert door.command(Command.UNLOCK, 2.0) is None and door.energised and door.reason == "operator"
    assert door.relocks_at == door.deadline == 2.0 + PULSE_S
    assert door.check(Grant("h", "Ada", 1, 2.0), 2.0) == "schedule"  # nobody else
    door.tick(2.0 + PULSE_S)
    assert not door.energised
    assert said(door) == [("unlock", "operator"), ("unlocked", "operator"), ("relocked", "schedule-locked")]
    door.command(Command.UNLOCK, 6.0)
    door.command(Command.LOCKDOWN, 6.5)
    assert not door.energised


def test_a_case_that_is_opened_is_why_it_locks() -> None:
    door = opened()
    said(door)
    door.sense(Input.TAMPER, True, 10.5)
    assert said(door) == [("tamper-active", "input"), ("tamper", "opened"), ("relocked", "tamper")]


def test_an_exit_button_that_is_stuck_opens_and_is_an_alarm() -> None:
    door = Controller(rules(), Latches(lockdown=True))
    door.sense(Input.EXIT, True, 1.0)
    door.tick(1.0 + EXIT_S)
    assert door.deadline == 1.0 + HELD_OPEN_S and not door.alarm
    door.tick(1.0 + HELD_OPEN_S)
    assert door.energised and door.alarms == ("exit-stuck",)
    said(door)
    door.sense(Input.EXIT, False, 40.0)
    assert not door.energised and not door.alarm
    assert said(door) == [("exit-quiet", "input"), ("alarm-ended", "exit-stuck"), ("relocked", "lockdown")]


def test_a_door_that_grants_alone_keep_open_is_an_alarm_and_locks_before_the_next() -> None:
    door, now = Controller(rules()), 10.0
    while (refused := door.check(Grant(f"g{now}", "Ada", 1, now), now)) is None:
        door.open(Grant(f"g{now}", "Ada", 1, now), now)
        now += 2.0
        door.tick(now)
        assert now < 10.0 + 2 * BUSY_S
    assert refused == "kept-open" and door.energised and door.alarms == ("kept-open",) and now == 10.0 + BUSY_S
    door.tick(now + PULSE_S)
    assert not door.energised and not door.alarm
    assert door.check(Grant("later", "Ada", 1, now + PULSE_S), now + PULSE_S) is None


def test_more_time_is_never_less() -> None:
    door = Controller(DoorRules(15.0, extended_s=10.0))
    door.open(Grant("g", "Ada", 1, 1.0, extended=True), 1.0)
    assert door.relocks_at == 16.0


def test_the_schedule_opens_and_locks() -> None:
    door = Controller(rules())
    door.schedule(Window.OPEN, 1.0)
    assert door.energised and door.reason == "schedule-open"
    door.schedule(Window.LOCKED, 2.0)
    assert not door.energised and door.check(Grant("h", "Ada", 1, 2.0), 2.0) == "schedule"
    assert door.command(Command.HOLD, 3.0) is None and door.energised  # the operator stands above the schedule


def test_a_level_counts_once_it_has_settled() -> None:
    debounce = Debounce(0.03)
    assert debounce.feed(False, 0.0) is None
    assert debounce.feed(False, 0.03) is False  # what it is at the start is news too
    assert debounce.feed(True, 0.10) is None and debounce.feed(False, 0.11) is None  # a bounce
    assert debounce.feed(True, 0.20) is None and debounce.feed(True, 0.22) is None
    assert debounce.feed(True, 0.231) is True and debounce.feed(True, 9.0) is None
