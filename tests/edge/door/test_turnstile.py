"""Turnstile: one grant is one passage, and the end of the pulse revokes it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.config.door import DoorConfig
from edge.door.controller import Controller, InputKind, OperatorCommand
from edge.values import Grant
from tests.doors import CLOCK, make_timing, until
from tests.lanes import LaneDoor, lane_door, make_people

_PULSE_S = 60.0  # longer than the clock advances in a test
TURNSTILE = {"lanes": [{"name": "in", "passage": "sensor"}]}


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[LaneDoor]:
    make_people(tmp_path)
    settings = {"timing": make_timing(relock="on_passage", pulse_s=_PULSE_S)}
    with lane_door(tmp_path, TURNSTILE, has_inputs=True, settings=settings) as running:
        yield running


def pass_by(lane: LaneDoor) -> None:
    """Let a person pass the sensor."""
    assert lane.wires is not None

    def is_level(level: bool) -> bool:
        return lane.status()["inputs"].get("passage") is level

    for level in (False, True, False):
        lane.wires.put(InputKind.PASSAGE, level)
        until(partial(is_level, level))


def subjects(lane: LaneDoor, event: str) -> list[object]:
    return [record.get("subject") for record in lane.records(event)]


def test_turnstile_locks_after_the_passage(lane: LaneDoor) -> None:
    assert lane.face("Ada") is None and lane.is_unlocked
    pass_by(lane)
    assert not lane.is_unlocked
    until(lambda: subjects(lane, "passage") == ["Ada"])
    until(lambda: [one["reason"] for one in lane.records("relocked")] == ["sensor"])


def test_turnstile_second_person_is_tailgating(lane: LaneDoor) -> None:
    assert lane.face("Ada") is None
    pass_by(lane)
    pass_by(lane)
    until(lambda: len(lane.records("tailgating")) == 1)
    assert subjects(lane, "passage") == ["Ada"]


def test_turnstile_two_grants_are_two_passages(lane: LaneDoor) -> None:
    assert lane.face("Ada") is None and lane.face("Ben") is None
    pass_by(lane)
    assert lane.is_unlocked
    pass_by(lane)
    assert not lane.is_unlocked
    until(lambda: subjects(lane, "passage") == ["Ada", "Ben"])


def test_turnstile_pulse_end_revokes_the_grant(lane: LaneDoor) -> None:
    assert lane.face("Ada") is None
    CLOCK.advance(_PULSE_S)
    lane.relock()
    until(lambda: [one["reason"] for one in lane.records("relocked")] == ["pulse-ended"])
    CLOCK.advance(5.0)  # longer than `access.passage_grace_s`
    pass_by(lane)
    until(lambda: len(lane.records("tailgating")) == 1)
    assert lane.records("passage") == []


@pytest.mark.parametrize(("relock", "locks"), [("on_passage", True), ("timeout", False)])
def test_controller_passage_ends_pulse(relock: str, locks: bool) -> None:
    door = Controller(make_timing(relock=relock))
    door.unlock(Grant("g", "Ada", 1, 10.0, "main"), 10.0)
    door.passed(10.5)
    assert door.energised is not locks


@pytest.mark.parametrize("is_exit", [True, False])
def test_controller_passage_keeps_other_pulses(is_exit: bool) -> None:
    door = Controller(make_timing(relock="on_passage", pulse_s=3.0, rex_pulse_s=3.0))
    door.unlock(Grant("g", "Ada", 1, 10.0, "main"), 10.0)
    if is_exit:
        door.update_input(InputKind.REX, True, 10.0)
        door.update_input(InputKind.REX, False, 10.1)
    else:
        assert door.execute(OperatorCommand.UNLOCK, 10.0) is None
    door.passed(10.5)
    door.passed(11.0)
    assert door.energised
    door.tick(13.1)
    assert not door.energised


def test_config_turnstile_needs_a_passage_sensor() -> None:
    with pytest.raises(ValueError, match=r"set `inputs\.passage`"):
        DoorConfig.model_validate({"relock": "on_passage"})
    inputs = {"passage": {"kind": "file", "path": "sensor"}}
    assert DoorConfig.model_validate({"relock": "on_passage", "inputs": inputs})
