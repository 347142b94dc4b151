"""Door controller by examples."""

from __future__ import annotations

import math

import pytest

from edge.access.schedule import ScheduledMode
from edge.door.controller import Controller, InputKind, OperatorCommand
from edge.door.inputs import Debounce
from edge.door.timing import DoorTiming, LatchedStates
from edge.values import Grant
from tests.doors import make_timing

PULSE_S, EXTENDED_S, EXIT_S, HELD_OPEN_S, BUSY_S = 3.0, 8.0, 5.0, 20.0, 10.0


def rules(relock: str = "timeout") -> DoorTiming:
    return DoorTiming(PULSE_S, EXTENDED_S, EXIT_S, HELD_OPEN_S, relock, BUSY_S, False)


def opened(relock: str = "timeout") -> Controller:
    door = Controller(rules(relock))
    door.update_input(InputKind.CONTACT, False, 0.0)
    door.unlock(Grant("g", "Ada", 1, 10.0, "main"), 10.0)
    return door


def take_events(door: Controller) -> list[tuple[str, str]]:
    events = [(event.event, event.reason) for event in door.events]
    door.events.clear()
    return events


def test_default_is_locked() -> None:
    door = Controller(rules())
    assert (
        not door.energised and not door.alarm and door.deadline is None and door.reason == "normal"
    )
    assert not door.tick(1e12)


@pytest.mark.parametrize("frame_at", [math.nan, math.inf, -math.inf, 8.9, 10.1])
def test_grant_with_invalid_time_is_refused(frame_at: float) -> None:
    assert Controller(rules()).check(Grant("a", "Ada", 1, frame_at, "main"), now=10.0) == "stale"


def test_pulse_ends_at_its_deadline() -> None:
    door = opened()
    assert door.deadline == 10 + PULSE_S and not door.tick(12.99)
    assert (
        door.tick(13.0)
        and not door.energised
        and take_events(door) == [("relocked", "pulse-ended")]
    )


@pytest.mark.parametrize(
    ("relock", "after_opening", "after_closing"),
    [("on_open", False, False), ("on_close", True, False), ("timeout", True, True)],
)
def test_contact_ends_pulse_if_configured(
    relock: str, after_opening: bool, after_closing: bool
) -> None:
    door = opened(relock)
    door.update_input(InputKind.CONTACT, True, 10.5)
    assert door.energised == after_opening
    door.update_input(InputKind.CONTACT, False, 11.0)
    assert door.energised == after_closing and not door.alarm
    door.tick(13.0)
    assert ("relocked", "pulse-ended" if relock == "timeout" else "contact") in take_events(door)


def test_contact_open_while_locked_is_forced() -> None:
    door = opened()
    door.tick(13.0)
    door.update_input(InputKind.CONTACT, True, 13.9)  # opened within the grace time after locking
    assert not door.alarm
    door.update_input(InputKind.CONTACT, False, 14.0)
    take_events(door)
    door.update_input(InputKind.CONTACT, True, 20.0)
    assert door.alarm and take_events(door) == [
        ("contact-active", "input"),
        ("alarm", "forced-open"),
    ]
    door.update_input(InputKind.CONTACT, False, 25.0)
    assert not door.alarm and take_events(door) == [
        ("contact-inactive", "input"),
        ("alarm-ended", "forced-open"),
    ]


def test_contact_open_at_start_is_not_forced() -> None:
    door = Controller(rules())
    door.update_input(InputKind.CONTACT, True, 5.0)
    assert not door.alarm
    door.tick(5.0 + HELD_OPEN_S)
    assert take_events(door) == [("contact-active", "input"), ("alarm", "held-open")]


def test_held_open_counts_from_end_of_hold() -> None:
    door = Controller(rules())
    door.update_input(InputKind.CONTACT, False, 0.0)
    door.execute(OperatorCommand.HOLD, 1.0)
    door.update_input(InputKind.CONTACT, True, 2.0)
    door.tick(500.0)
    assert not door.alarm
    door.execute(OperatorCommand.RELEASE, 500.0)
    assert door.deadline == 500.0 + HELD_OPEN_S
    door.tick(500.0 + HELD_OPEN_S)
    assert door.alarm
    door.update_input(InputKind.CONTACT, False, 530.0)
    assert not door.alarm


def test_fire_opens_until_reset_by_level() -> None:
    door = Controller(rules(), LatchedStates(lockdown=True))
    door.update_input(InputKind.FIRE, True, 1.0)
    assert door.energised and door.reason == "fire"
    assert door.execute(OperatorCommand.RESET_FIRE, 2.0) == "fire-input-active"
    door.update_input(InputKind.FIRE, False, 3.0)
    door.tick(1e6)
    assert door.energised  # latched
    assert (
        door.execute(OperatorCommand.RESET_FIRE, 1e6) is None
        and not door.energised
        and door.reason == "lockdown"
    )
    events = take_events(door)
    assert events[:3] == [("fire-active", "input"), ("fire", "input"), ("unlocked", "fire")]
    assert events[-3:] == [
        ("fire-inactive", "input"),
        ("reset-fire", "operator"),
        ("relocked", "lockdown"),
    ]


def test_lockdown_allows_only_rex() -> None:
    door = opened()
    assert door.execute(OperatorCommand.LOCKDOWN, 10.5) is None and not door.energised
    assert door.check(Grant("h", "Ada", 1, 11.0, "main"), 11.0) == "lockdown"
    assert door.execute(OperatorCommand.UNLOCK, 11.0) == "lockdown"
    door.update_input(InputKind.REX, True, 12.0)
    door.update_input(InputKind.REX, False, 12.1)
    assert door.energised and door.reason == "rex"
    door.tick(12.0 + EXIT_S)
    assert not door.energised and door.latches.lockdown


def test_tamper_refuses_grants_until_reset() -> None:
    door = opened()
    door.update_input(InputKind.TAMPER, True, 10.5)
    assert not door.energised and door.alarm
    assert door.check(Grant("h", "Ada", 1, 11.0, "main"), 11.0) == "tamper"
    assert door.execute(OperatorCommand.RESET_TAMPER, 11.0) == "case-open"
    door.update_input(InputKind.TAMPER, False, 12.0)
    assert (
        door.alarm and door.execute(OperatorCommand.RESET_TAMPER, 12.0) is None and not door.alarm
    )


def test_operator_unlocks_in_locked_hours() -> None:
    door = Controller(rules())
    door.update_schedule(ScheduledMode.LOCKED, 1.0)
    take_events(door)
    assert (
        door.execute(OperatorCommand.UNLOCK, 2.0) is None
        and door.energised
        and door.reason == "operator"
    )
    assert door.relocks_at == door.deadline == 2.0 + PULSE_S
    assert door.check(Grant("h", "Ada", 1, 2.0, "main"), 2.0) == "schedule"  # grants are refused
    door.tick(2.0 + PULSE_S)
    assert not door.energised
    assert take_events(door) == [
        ("unlock", "operator"),
        ("unlocked", "operator"),
        ("relocked", "schedule-locked"),
    ]
    door.execute(OperatorCommand.UNLOCK, 6.0)
    door.execute(OperatorCommand.LOCKDOWN, 6.5)
    assert not door.energised


def test_tamper_is_the_relock_cause() -> None:
    door = opened()
    take_events(door)
    door.update_input(InputKind.TAMPER, True, 10.5)
    assert take_events(door) == [
        ("tamper-active", "input"),
        ("tamper", "case-opened"),
        ("relocked", "tamper"),
    ]


def test_rex_stuck_opens_and_raises_alarm() -> None:
    door = Controller(rules(), LatchedStates(lockdown=True))
    door.update_input(InputKind.REX, True, 1.0)
    door.tick(1.0 + EXIT_S)
    assert door.deadline == 1.0 + HELD_OPEN_S and not door.alarm
    door.tick(1.0 + HELD_OPEN_S)
    assert door.energised and door.alarms == ("rex-stuck",)
    take_events(door)
    door.update_input(InputKind.REX, False, 40.0)
    assert not door.energised and not door.alarm
    assert take_events(door) == [
        ("rex-inactive", "input"),
        ("alarm-ended", "rex-stuck"),
        ("relocked", "lockdown"),
    ]


def test_max_unlock_raises_alarm_and_relocks() -> None:
    door, now = Controller(rules()), 10.0
    while (refused := door.check(Grant(f"g{now}", "Ada", 1, now, "main"), now)) is None:
        door.unlock(Grant(f"g{now}", "Ada", 1, now, "main"), now)
        now += 2.0
        door.tick(now)
        assert now < 10.0 + 2 * BUSY_S
    assert (
        refused == "max-unlock-exceeded"
        and door.energised
        and door.alarms == ("max-unlock-exceeded",)
        and now == 10.0 + BUSY_S
    )
    door.tick(now + PULSE_S)
    assert not door.energised and not door.alarm
    assert door.check(Grant("later", "Ada", 1, now + PULSE_S, "main"), now + PULSE_S) is None


def test_extended_pulse_is_never_shorter() -> None:
    door = Controller(make_timing(pulse_s=15.0, extended_pulse_s=10.0))
    door.unlock(Grant("g", "Ada", 1, 1.0, "main", extended=True), 1.0)
    assert door.relocks_at == 16.0


def test_schedule_opens_and_locks() -> None:
    door = Controller(rules())
    door.update_schedule(ScheduledMode.OPEN, 1.0)
    assert door.energised and door.reason == "schedule-open"
    door.update_schedule(ScheduledMode.LOCKED, 2.0)
    assert not door.energised and door.check(Grant("h", "Ada", 1, 2.0, "main"), 2.0) == "schedule"
    assert (
        door.execute(OperatorCommand.HOLD, 3.0) is None and door.energised
    )  # the operator outranks the schedule


def test_level_counts_once_settled() -> None:
    debounce = Debounce(0.03)
    assert debounce.update(False, 0.0) is None
    assert debounce.update(False, 0.03) is False  # the first level counts as a change
    assert debounce.update(True, 0.10) is None and debounce.update(False, 0.11) is None  # a bounce
    assert debounce.update(True, 0.20) is None and debounce.update(True, 0.22) is None
    assert debounce.update(True, 0.231) is True and debounce.update(True, 9.0) is None
