"""Jetson modules and the GPIO lines of their header pins, as in NVIDIA's Jetson.GPIO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.errors import DoorError

COMPATIBLE = Path("/sys/firmware/devicetree/base/compatible")


@dataclass(frozen=True, slots=True)
class JetsonModule:
    """Family of modules: device tree name, GPIO controller, and line of each header pin."""

    name: str
    part: str
    controller: str
    lines: dict[int, int]


KNOWN_MODULES = (
    JetsonModule("Jetson Orin NX or Nano", "p3767", "tegra234-gpio", {
        7: 144, 11: 112, 12: 50, 13: 122, 15: 85, 16: 126, 18: 125, 19: 135, 21: 134, 22: 123,
        23: 133, 24: 136, 26: 137, 29: 105, 31: 106, 32: 41, 33: 43, 35: 53, 36: 113, 37: 124,
        38: 52, 40: 51,
    }),
    JetsonModule("Jetson AGX Orin", "p3701", "tegra234-gpio", {
        7: 106, 11: 112, 12: 50, 13: 108, 15: 85, 18: 43, 19: 135, 21: 134, 22: 96, 23: 133,
        24: 136, 26: 137, 35: 53, 36: 113, 38: 52, 40: 51,
    }),
    JetsonModule("Jetson Xavier NX", "p3668", "tegra194-gpio", {
        7: 118, 11: 112, 12: 127, 13: 149, 16: 153, 18: 152, 19: 162, 21: 161, 22: 150, 23: 160,
        24: 163, 26: 164, 29: 105, 31: 106, 32: 108, 33: 84, 35: 130, 36: 113, 37: 151, 38: 129,
        40: 128,
    }),
)  # fmt: skip


def detect_module(compatible: Path = COMPATIBLE) -> JetsonModule:
    """Return this machine's module by its device tree. Raises DoorError for an unknown one."""
    try:
        names = compatible.read_bytes().decode("utf-8", "replace").split("\0")
    except OSError as error:
        raise DoorError(f"{compatible}: cannot be read ({error.strerror}): not a Jetson") from error
    for module in KNOWN_MODULES:
        if any(module.part in name for name in names):
            return module
    known = ", ".join(module.name for module in KNOWN_MODULES)
    raise DoorError(
        f"expected one of {known}; found in the device tree: "
        f"{', '.join(filter(None, names)) or 'nothing'}"
    )


def header_lines() -> Mapping[int, int]:
    """Return the GPIO lines of the header pins of this machine, none if it is not a Jetson."""
    try:
        return detect_module().lines
    except DoorError:
        return {}
