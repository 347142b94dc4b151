"""Checks of the access rules against the door and its camera."""

from __future__ import annotations

from edge.config.access import AccessConfig, LaneConfig, lanes_through
from edge.config.door import DoorConfig
from edge.config.lane import DEFAULT_DOOR
from edge.errors import ConfigError


def check_rules(rules: AccessConfig, door: DoorConfig, camera_lane: str | None) -> None:
    """Check the access rules against the door and the lane of its camera; raises ConfigError."""
    if not rules.lanes and door.name != DEFAULT_DOOR:
        raise ConfigError(
            f"door.name: the door {door.name} needs lanes, since the pending passages of several "
            f"doors are kept apart by lane; add one with `door: {door.name}` to `access.lanes`"
        )
    lanes = lanes_through(rules, door.name)
    if not lanes:
        doors = ", ".join(dict.fromkeys(lane.door for lane in rules.lanes))
        raise ConfigError(
            f"door.name: no lane of `access.lanes` leads through the door {door.name}; write one "
            f"of: {doors}; or write `door: {door.name}` in a lane"
        )
    names = [lane.name for lane in lanes]
    for reader in door.readers:
        if reader.lane not in names:
            raise ConfigError(
                f"door.readers: reader {reader.name} {_elsewhere(reader.lane, names)}"
            )
    if camera_lane is not None and camera_lane not in names:
        raise ConfigError(f"camera.lane: the camera {_elsewhere(camera_lane, names)}")
    _check_passages(lanes, door)
    _check_interlock(rules, door)
    if rules.first_person and not _has_open_hours(door):
        raise ConfigError(
            "access.first_person: the door has no open hours; add a span with `mode: open` to "
            "`door.schedule`, or remove the key"
        )


def _elsewhere(lane: str, names: list[str]) -> str:
    return (
        f"is at the lane {lane}, which does not lead through this door; "
        f"write one of: {', '.join(names)}"
    )


def _check_passages(lanes: tuple[LaneConfig, ...], door: DoorConfig) -> None:
    """Check that the inputs of a door report the passages of its lanes."""
    if door.inputs.contact is None:
        for lane in lanes:
            if lane.passage == "contact":
                raise ConfigError(
                    f"access.lanes: lane {lane.name} has `passage: contact`, but the door has no "
                    "contact; set `door.inputs.contact`"
                )
    sensed = [lane.name for lane in lanes if lane.passage == "sensor"]
    if sensed and door.inputs.passage is None:
        raise ConfigError(
            f"access.lanes: lane {sensed[0]} has `passage: sensor`, but the door has no passage "
            "sensor; set `door.inputs.passage`"
        )
    if len(sensed) > 1:
        raise ConfigError(
            f"access.lanes: lanes {', '.join(sensed)} have `passage: sensor`; a door has one "
            "passage sensor, so only one lane can use it"
        )


def _check_interlock(rules: AccessConfig, door: DoorConfig) -> None:
    if rules.interlock and door.inputs.mantrap is None:
        raise ConfigError(
            "access.interlock: the state of the other door is not wired; set `door.inputs.mantrap`"
        )
    doors = list(dict.fromkeys(lane.door for lane in rules.lanes))
    if rules.interlock and len(doors) > 1:
        raise ConfigError(
            f"access.interlock: this terminal has the doors {', '.join(doors)}; the input "
            "`door.inputs.mantrap` is for the door of another terminal; remove the key, or write "
            "`access.interlock_doors`"
        )
    key = "interlock" if rules.interlock else "interlock_doors"
    if (rules.interlock or door.name in rules.interlock_doors) and _has_open_hours(door):
        raise ConfigError(
            f"access.{key}: open hours keep a door unlocked, so the other one is refused; "
            "remove the spans with `mode: open` from `door.schedule`"
        )


def _has_open_hours(door: DoorConfig) -> bool:
    return any(span.mode == "open" for span in door.schedule.spans)
