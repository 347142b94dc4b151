"""Rules of the table in docs/door.md that only a running door shows."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path

from edge.access.schedule import ScheduledMode
from edge.door.controller import InputKind
from tests.doors import CLOCK, PULSE_S, FixedSchedule, make_timing, until
from tests.lanes import ADAS_DURESS_PIN, LAB, LaneDoor, lane_door, make_people

TURNSTILE = {**LAB, "lanes": [{**LAB["lanes"][0], "passage": "sensor"}, LAB["lanes"][1]]}
TRUSTED = 2e9


def has_level(lane: LaneDoor, kind: InputKind, level: bool) -> bool:
    return lane.status()["inputs"].get(kind.value) is level


def pass_sensor(lane: LaneDoor) -> None:
    """Report one person at the passage sensor."""
    assert lane.wires is not None
    for level in (False, True, False):
        lane.wires.put(InputKind.PASSAGE, level)
        until(partial(has_level, lane, InputKind.PASSAGE, level))


def test_turnstile_grant_ends_without_passage(tmp_path: Path) -> None:
    with lane_door(tmp_path, TURNSTILE, has_inputs=True) as lane:
        assert lane.face("Ada") is None
        assert lane.face("Ada") == "passage-pending"
        lane.relock()
        CLOCK.advance(3.0)  # over `access.passage_grace_s`
        pass_sensor(lane)
        until(lambda: bool(lane.records("tailgating")))
        assert not lane.records("passage") and not lane.is_unlocked
        assert lane.face("Ada") is None


def test_turnstile_grant_is_one_passage(tmp_path: Path) -> None:
    with lane_door(tmp_path, TURNSTILE, has_inputs=True) as lane:
        assert lane.face("Ada") is None
        pass_sensor(lane)
        pass_sensor(lane)
        until(lambda: bool(lane.records("tailgating")))
        assert [each["subject"] for each in lane.records("passage")] == ["Ada"]
        assert lane.status()["access"]["zones"]["lab"]["people"] == 2


def test_rex_and_fire_ignore_zone_rules(tmp_path: Path) -> None:
    (tmp_path / "zones.json").write_text("{")  # it is not known who is inside
    with lane_door(tmp_path, LAB, has_inputs=True) as lane:
        assert lane.wires is not None and lane.face("Ada") == "zone-state-unknown"
        lane.wires.put(InputKind.REX, True)
        until(lambda: lane.status()["reason"] == "rex")
        lane.wires.put(InputKind.REX, False)
        lane.relock()
        lane.wires.put(InputKind.FIRE, True)
        until(lambda: lane.status()["reason"] == "fire")


def test_duress_energises_alarm_if_configured(tmp_path: Path) -> None:
    make_people(tmp_path)
    timing = make_timing(pulse_s=PULSE_S, alarm_on_duress=True)
    rules = {"mode": "pin-and-face"}
    with lane_door(tmp_path, rules, has_inputs=True, settings={"timing": timing}) as lane:
        lane.type_until(f"pin {ADAS_DURESS_PIN}", "duress")
        assert lane.wires is not None
        until(lambda: lane.wires is not None and lane.wires.alarm.energised)


def test_first_person_counts_until_a_restart(tmp_path: Path) -> None:
    make_people(tmp_path, {"Gil": {"groups": ("guards",)}})
    settings = {"schedule": FixedSchedule(ScheduledMode.OPEN)}
    rules = {"first_person": ["guards"]}
    for _ in range(2):
        with lane_door(tmp_path, rules, settings=settings, wall=lambda: TRUSTED) as lane:
            assert lane.status()["state"] == "locked"
            assert lane.face("Gil") is None
            until(lambda: lane.status()["reason"] == "schedule-open")


def test_dated_people_need_a_trusted_clock(tmp_path: Path) -> None:
    make_people(tmp_path, {"Vic": {"valid_until": date(2999, 1, 1)}})
    with lane_door(tmp_path, {}, wall=lambda: 0.0) as lane:
        assert lane.face("Vic") == "clock-untrusted"
        assert lane.face("Ada") is None
        assert lane.status()["clock"]["doubt"] == "before-build-date"
