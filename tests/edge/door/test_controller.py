"""Door controller against an independent oracle: random events, restarts, clock jumps."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from edge.access.schedule import ScheduledMode
from edge.door.controller import MAX_GRANT_AGE_S, Controller, InputKind, OperatorCommand
from edge.door.events import DoorAlarm, DoorEventCode
from edge.door.timing import DoorTiming, LatchedStates
from edge.values import DoorEvent, Grant

PULSE_S, EXTENDED_S, REX_S, HELD_OPEN_S, MAX_UNLOCK_S = 3.0, 8.0, 5.0, 20.0, 10.0


TIMING = DoorTiming(PULSE_S, EXTENDED_S, REX_S, HELD_OPEN_S, "timeout", MAX_UNLOCK_S, False)


class Door(RuleBasedStateMachine):
    """Unlocked only for a reason and not longer than its time; fire and REX always unlock."""

    make: Callable[..., Controller] = Controller

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.timing = TIMING
        self.door = self.make(self.timing)
        self.fire = self.lockdown = self.held = self.tamper = self.duress = False
        self.window = ScheduledMode.NORMAL
        self.levels: dict[InputKind, bool] = {}
        self.pulse_ends = self.operator_ends = self.exit_ends = -math.inf
        self.pressed_at = self.grants_alone_since = math.inf
        self.kept_open = False
        self.used: set[str] = set()
        self.alarms: set[str] = set()

    def oracle(self) -> bool:
        if self.fire or self.levels.get(InputKind.REX) or self.now < self.exit_ends:
            return True
        ordered = self.held or self.now < self.operator_ends
        allowed = not self.lockdown and (ordered or self.window is not ScheduledMode.LOCKED)
        return allowed and (
            ordered or self.window is ScheduledMode.OPEN or self.now < self.pulse_ends
        )

    def by_grants_alone(self) -> bool:
        """Return True if the door would be locked without grants."""
        pulse_ends, self.pulse_ends = self.pulse_ends, -math.inf
        otherwise, self.pulse_ends = self.oracle(), pulse_ends
        return self.oracle() and not otherwise

    def see(self) -> None:
        """Update the time unlocked by grants alone, when the controller updates its own."""
        self.grants_alone_since = (
            min(self.grants_alone_since, self.now) if self.by_grants_alone() else math.inf
        )
        self.kept_open = self.oracle() and (
            self.kept_open or self.now >= self.grants_alone_since + MAX_UNLOCK_S
        )

    @rule(
        age=st.floats(-2, 3),
        name=st.sampled_from("abcd"),
        fresh=st.booleans(),
        extended=st.booleans(),
    )
    def grant(self, age: float, name: str, fresh: bool, extended: bool) -> None:
        grant_id = f"{name}-{self.now}-{len(self.used)}" if fresh else name
        grant = Grant(grant_id, "Ada", 1, self.now - age, "main", extended=extended)
        refused = self.door.check(grant, self.now)
        if refused is None:
            assert -0.051 <= age <= MAX_GRANT_AGE_S + 1e-6 and grant_id not in self.used
            assert not (
                self.lockdown
                or self.tamper
                or self.window is ScheduledMode.LOCKED
                or self.kept_open
            )
            self.used.add(grant_id)
            self.door.unlock(grant, self.now)
            assert self.door.energised
            pulse_s = (
                max(self.timing.pulse_s, self.timing.extended_pulse_s)
                if extended
                else self.timing.pulse_s
            )
            self.pulse_ends = max(self.pulse_ends, self.now + pulse_s)
        elif refused == "replayed":
            assert grant_id in self.used
        else:
            assert {
                "stale": not -0.05 < age < MAX_GRANT_AGE_S - 1e-6,
                "tamper": self.tamper,
                "lockdown": self.lockdown,
                "schedule": self.window is ScheduledMode.LOCKED,
                "max-unlock-exceeded": self.kept_open,
            }[refused]

    @rule(gaps=st.lists(st.floats(0.1, PULSE_S), min_size=4, max_size=8))
    def one_after_the_other(self, gaps: list[float]) -> None:
        """Grant again and again before the door locks."""
        for gap in gaps:
            self.wait(gap)
            self.see()
            self.grant(0.0, "", True, False)
            self.see()

    @rule(which=st.sampled_from(InputKind), active=st.booleans())
    def sense(self, which: InputKind, active: bool) -> None:
        known, self.levels[which] = self.levels.get(which), active
        self.door.update_input(which, active, self.now)
        if which is InputKind.REX and not active:
            self.pressed_at = math.inf
        if known == active or not active:
            return
        if which is InputKind.FIRE:
            self.fire = True
        elif which is InputKind.REX:
            self.exit_ends, self.pressed_at = self.now + self.timing.rex_pulse_s, self.now
        elif which is InputKind.TAMPER and not self.tamper:
            self.tamper, self.pulse_ends, self.operator_ends = True, -math.inf, -math.inf
        if which in (InputKind.FIRE, InputKind.REX):
            assert self.door.energised

    @rule(command=st.sampled_from(OperatorCommand))
    def operate(self, command: OperatorCommand) -> None:
        refused = self.door.execute(command, self.now)
        if command in (OperatorCommand.UNLOCK, OperatorCommand.HOLD):
            assert (refused is not None) == self.lockdown
        elif command is OperatorCommand.RESET_FIRE:
            assert (refused is not None) == bool(self.levels.get(InputKind.FIRE))
        elif command is OperatorCommand.RESET_TAMPER:
            assert (refused is not None) == bool(self.levels.get(InputKind.TAMPER))
        else:
            assert refused is None
        if refused is not None:
            return
        if command is OperatorCommand.UNLOCK:
            self.operator_ends = max(self.operator_ends, self.now + self.timing.pulse_s)
            assert self.door.energised  # whatever the schedule says
        elif command is OperatorCommand.HOLD:
            self.held = True
        elif command is OperatorCommand.LOCKDOWN:
            self.lockdown, self.held, self.pulse_ends, self.operator_ends = (
                True,
                False,
                -math.inf,
                -math.inf,
            )
        elif command is OperatorCommand.RELEASE:
            self.lockdown = self.held = False
        elif command is OperatorCommand.RESET_FIRE:
            self.fire = False
        elif command is OperatorCommand.RESET_TAMPER:
            self.tamper = False
        else:
            self.duress = False

    @rule()
    def duress_pin(self) -> None:
        self.duress = True
        self.door.start_duress()

    @rule(window=st.sampled_from(ScheduledMode))
    def schedule(self, window: ScheduledMode) -> None:
        if window is ScheduledMode.LOCKED and window is not self.window:
            self.pulse_ends = -math.inf
        self.window = window
        self.door.update_schedule(window, self.now)

    @rule(factor=st.sampled_from([0.1, 1.0, 3.0]))
    def reload(self, factor: float) -> None:
        """Change the timing; running pulses keep their end."""
        self.timing = DoorTiming(
            PULSE_S * factor,
            EXTENDED_S / factor,
            REX_S * factor,
            HELD_OPEN_S,
            "timeout",
            MAX_UNLOCK_S,
            alarm_on_duress=factor == 1.0,
        )
        self.door.update_timing(self.timing)
        self.door.tick(self.now)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.door.tick(self.now)

    @rule(seconds=st.floats(0, 3600))
    def clock_runs_backwards(self, seconds: float) -> None:
        """The door must not rely on a monotonic clock."""
        self.door.tick(self.now - seconds)

    @rule()
    def restart(self) -> None:
        """Restrictive states and the fire latch survive; a hold and pulses do not."""
        latches = self.door.latches
        assert latches == LatchedStates(self.fire, self.lockdown, self.tamper, self.duress)
        self.door.lock()
        assert not self.door.energised
        self.door = self.make(self.timing, latches)
        assert not self.door.energised
        self.held, self.kept_open = False, False
        self.pulse_ends = self.operator_ends = self.exit_ends = -math.inf
        self.pressed_at = self.grants_alone_since = math.inf
        self.levels, self.alarms, self.window = {}, set(), ScheduledMode.NORMAL
        self.used = set()  # grants expire after one second
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
        assert ("max-unlock-exceeded" in self.door.alarms) == self.kept_open
        assert ("rex-stuck" in self.door.alarms) == (self.now >= self.pressed_at + HELD_OPEN_S)

    @invariant()
    def alarms_begin_once_and_end_once(self) -> None:
        for event in self.door.events:
            if event.event == "alarm":
                assert event.reason not in self.alarms
                self.alarms.add(event.reason)
            elif event.event == "alarm-ended":
                self.alarms.remove(event.reason)
        self.door.events.clear()
        is_loud = bool(self.alarms) or self.tamper
        assert self.door.alarm == (is_loud or (self.duress and self.timing.alarm_on_duress))
        assert (DoorAlarm.DURESS in self.door.alarms) == self.duress


# 100,000 steps and more: DOOR_EXAMPLES=2000 python -m pytest tests/edge/door/test_controller.py
STEPS = settings(
    max_examples=int(os.environ.get("DOOR_EXAMPLES", "150")), stateful_step_count=60, deadline=None
)
CAUGHT = settings(
    STEPS,
    max_examples=2000,
    database=None,
    print_blob=False,
    report_multiple_bugs=False,
    phases=[Phase.generate],
)
TestDoor = Door.TestCase
TestDoor.settings = STEPS


class NeverRelocks(Controller):
    """Never ends a pulse."""

    def _must_unlock(self) -> bool:
        return super()._must_unlock() or (self.energised and self.reason == "normal")


class LockdownBeatsRex(Controller):
    """Ignores the exit button in lockdown."""

    def _must_unlock(self) -> bool:
        return super()._must_unlock() and (self._fire or not self._lockdown)


class ForgetsFire(Controller):
    """Loses the fire latch at a restart."""

    def __init__(self, timing: DoorTiming, latches: LatchedStates = LatchedStates()) -> None:
        super().__init__(timing, replace(latches, fire=False))


class HoldsAfterRestart(Controller):
    """Keeps a hold over a restart."""

    kept = False

    def execute(self, command: OperatorCommand, now: float) -> str | None:
        refused = super().execute(command, now)
        type(self).kept = self._held
        return refused

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held = type(self).kept


class AlarmsTwice(Controller):
    """Repeats an alarm while the door stays open."""

    def tick(self, now: float) -> bool:
        changed = super().tick(now)
        if DoorAlarm.HELD_OPEN in self.alarms:
            self.events.append(DoorEvent(DoorEventCode.ALARM, DoorAlarm.HELD_OPEN, now))
        return changed


class ScheduleBeatsOperator(Controller):
    """Accepts an operator's command without effect."""

    def _must_unlock(self) -> bool:
        return super()._must_unlock() and (
            self.reason != "operator" or self._mode is not ScheduledMode.LOCKED
        )


class IgnoresMaxUnlock(Controller):
    """Stays unlocked while grants arrive."""

    def check(self, grant: Grant, now: float) -> str | None:
        refused = super().check(grant, now)
        return None if refused == "max-unlock-exceeded" else refused


BROKEN = [
    NeverRelocks,
    LockdownBeatsRex,
    ForgetsFire,
    HoldsAfterRestart,
    AlarmsTwice,
    ScheduleBeatsOperator,
    IgnoresMaxUnlock,
]


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_controller_is_caught(broken: type[Controller]) -> None:
    class Broken(Door):
        make = broken

        def __init__(self) -> None:
            HoldsAfterRestart.kept = False
            super().__init__()

    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=CAUGHT)
