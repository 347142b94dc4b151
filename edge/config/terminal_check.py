"""Checks of all configuration files of one terminal together."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from edge.config import TerminalConfig
from edge.config.door import DoorConfig, GpioInputConfig
from edge.config.osdp import OsdpPeripheralConfig, OsdpReaderConfig
from edge.config.panel import WiegandPanelConfig
from edge.config.readers import HidReaderConfig, WiegandReaderConfig
from edge.config.recognition import CsiCameraConfig, OpencvCameraConfig
from edge.config.relay import FileRelayConfig, GpioRelayConfig

_ONE_GALLERY = "all recognisers use one gallery, which belongs to a model"
_ONE_ZONES = "the doors decide together by the state of the zones"
# Values that all files of a terminal must agree on, and why.
_SHARED: dict[str, tuple[Callable[[TerminalConfig], object], str]] = {
    "terminal": (lambda config: config.terminal, "templates are encrypted for this name"),
    "bundle": (lambda config: config.bundle, _ONE_GALLERY),
    "previous_bundle": (lambda config: config.previous_bundle, _ONE_GALLERY),
    "state": (lambda config: config.state, "it holds the gallery"),
    "key": (lambda config: config.key_path, "it is the key of the one gallery"),
    "access.zones": (lambda config: config.access.zones, _ONE_ZONES),
    "access.lanes": (lambda config: config.access.lanes, "it lists the lanes of all doors"),
    "access.interlock_doors": (lambda config: config.access.interlock_doors, _ONE_ZONES),
    "door.state": (
        lambda config: config.door_state,
        "it holds the people and zones of all doors",
    ),
    "door.people_key": (
        lambda config: config.people_key_path,
        "it is the key of the cards and PINs of all doors",
    ),
    "door.socket": (lambda config: config.door.socket, "the sockets of all doors are found by it"),
    "record.verification_key_dir": (
        lambda config: config.record.verification_key_dir,
        "it holds the keys of all logs",
    ),
}
_HEADER_CHIP = "/dev/gpiochip0"  # GPIO chip of the header pins
_VIDEO = "/dev/video"
_LINE = re.compile(r"(?:GPIO|BCM)?(\d+)", re.IGNORECASE)
_HEADER_PIN = re.compile(r"(?:BOARD|J\d+:)(\d+)", re.IGNORECASE)

Resource = tuple[str, ...]  # kind and name; equal for two names of one pin or device


def find_conflicts(configs: Mapping[str, TerminalConfig], header: Mapping[int, int]) -> list[str]:
    """Return what contradicts in the files of a terminal, by name; each item states the remedy.

    `header`: GPIO lines of the header pins of this machine, empty if they are not known.
    """
    found = list(_check_resources(configs, header))
    for (first, one), (second, other) in combinations(configs.items(), 2):
        files = f"{first} and {second}"
        found += _check_names(files, one, other)
        found += _check_shared(files, one, other)
    if len(configs) > 1:
        found += _check_doors(list(configs.values()))
    return list(dict.fromkeys(found))


def _check_names(files: str, one: TerminalConfig, other: TerminalConfig) -> Iterator[str]:
    """Check that two files are two recognisers, and two doors or two cameras of one door."""
    if one.instance == other.instance:
        what = f"have the same name {one.instance}" if one.instance else "both have none"
        yield f"instance: {files} {what}, but each recogniser needs its own; write another name"
    if one.door.name != other.door.name:
        return
    same = f"door.name: {files} have the same door {one.door.name}"
    if one.door != other.door:
        yield f"{same} with different sections `door`; write another name in one of them"
    elif one.camera_lane == other.camera_lane:
        yield (
            f"{same} and the same lane {one.camera_lane} of their cameras; write another "
            "`door.name`, or another `camera.lane` for a second camera of this door"
        )


def _check_shared(files: str, one: TerminalConfig, other: TerminalConfig) -> Iterator[str]:
    for key, (value, why) in _SHARED.items():
        if value(one) != value(other):
            yield f"{key}: {files} differ, but {why}; write it only in the file that both extend"


def _check_doors(configs: Sequence[TerminalConfig]) -> Iterator[str]:
    """Check that there is a file for the door of each lane."""
    doors = list(dict.fromkeys(config.door.name for config in configs))
    for config in configs:
        for lane in config.access.lanes:
            if lane.door not in doors:
                yield (
                    f"access.lanes: lane {lane.name} leads through the door {lane.door}, which no "
                    f"file has (doors: {', '.join(doors)}); correct `door` of the lane, or check "
                    "the file of this door as well"
                )


def _check_resources(
    configs: Mapping[str, TerminalConfig], header: Mapping[int, int]
) -> Iterator[str]:
    """Check that no pin, device or camera is used twice; a door counts once for all its files."""
    uses: defaultdict[Resource, dict[tuple[str, str], str]] = defaultdict(dict)
    for file, config in configs.items():
        for key, resource in _door_resources(config.door, header):
            uses[resource].setdefault((config.door.name, key), file)
        if (camera := _camera(config)) is not None:
            uses[camera][file, "camera"] = file
    for resource, users in uses.items():
        if len(users) > 1:
            keys = ", ".join(f"{key} of {file}" for (_, key), file in users.items())
            yield f"{' '.join(resource)} is used more than once: {keys}; write another one"


def _camera(config: TerminalConfig) -> Resource | None:
    """Return the camera; None for a source that several recognisers may read."""
    camera = config.camera
    if isinstance(camera, CsiCameraConfig):
        return "CSI camera", str(camera.sensor_id)
    if not isinstance(camera, OpencvCameraConfig):
        return None
    source = f"{_VIDEO}{camera.source}" if str(camera.source).isdecimal() else str(camera.source)
    return ("camera", os.path.realpath(source)) if source.startswith("/dev/") else None


def _door_resources(door: DoorConfig, header: Mapping[int, int]) -> Iterator[tuple[str, Resource]]:
    """Yield the pins and devices that a door process opens for itself, with their keys.

    A name of a device below /dev/serial/by-id and one below /dev are the same resource.
    """
    inputs = {f"door.inputs.{name}": line for name, line in door.inputs}
    for key, line in {**door.outputs, **inputs}.items():
        if isinstance(line, GpioRelayConfig | GpioInputConfig) and line.factory != "mock":
            yield f"{key} ({line.pin})", _pin(line.pin, header)
        elif isinstance(line, FileRelayConfig):
            yield key, ("file", str(line.path))
    named = [(f"door.readers.{reader.name}", reader) for reader in door.readers]
    for key, reader in [*named, ("door.panel", door.panel)]:
        if isinstance(reader, WiegandReaderConfig | WiegandPanelConfig):
            yield f"{key}.d0", _line(reader.chip, reader.d0)
            yield f"{key}.d1", _line(reader.chip, reader.d1)
        elif isinstance(reader, OsdpReaderConfig | OsdpPeripheralConfig):
            yield key, ("serial line", os.path.realpath(reader.device))
        elif isinstance(reader, HidReaderConfig):
            yield key, ("device", os.path.realpath(reader.path))
        elif reader is not None:
            yield key, ("socket", str(reader.path))


def _pin(pin: int | str, header: Mapping[int, int]) -> Resource:
    """Return the line of a pin; a header pin of an unknown board keeps its number."""
    if (found := _HEADER_PIN.fullmatch(str(pin))) is None:
        return _line(Path(_HEADER_CHIP), pin)
    number = int(found[1])
    if number not in header:
        return "pin", f"BOARD{number}"
    return _line(Path(_HEADER_CHIP), header[number])


def _line(chip: Path, line: int | str) -> Resource:
    found = _LINE.fullmatch(str(line))
    return os.path.realpath(chip), f"line {int(found[1]) if found else line}"
