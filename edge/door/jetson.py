"""gpiozero pin factory for the 40-pin header of a Jetson, through lgpio.

gpiozero has none of its own. Lines are those of the module's main GPIO controller, as in NVIDIA's
Jetson.GPIO. Header pins of the always-on controller, which is another chip, are left out.
NOT TRIED ON HARDWARE; tested with a substitute for lgpio.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpiozero import BoardInfo, HeaderInfo, PinInfo

from edge.errors import DoorError

# lgpio writes a FIFO to its working directory, which may be read-only.
os.environ.setdefault("LG_WD", "/tmp")

import lgpio
from gpiozero.pins.lgpio import LGPIOFactory

_COMPATIBLE = Path("/sys/firmware/devicetree/base/compatible")
_CHIPS = 10
_HEADER = "J40"


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


def detect_module(compatible: Path = _COMPATIBLE) -> JetsonModule:
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


def _find_chip(controller: str) -> int:
    """Return the number of the gpiochip with this label. Raises DoorError."""
    for number in range(_CHIPS):
        try:
            handle = lgpio.gpiochip_open(number)
        except Exception:  # lgpio.error: no such chip, or no rights
            continue
        try:
            label = lgpio.gpio_get_chip_info(handle)[-1]
        finally:
            lgpio.gpiochip_close(handle)
        if label == controller:
            return number
    raise DoorError(
        f"GPIO controller {controller} cannot be opened; is this account in the group of "
        "/dev/gpiochip*?"
    )


class JetsonFactory(LGPIOFactory):  # type: ignore[misc]
    """Pins are named BOARD<number>. Other programs select it by `GPIOZERO_PIN_FACTORY=jetson`."""

    def __init__(self, compatible: Path = _COMPATIBLE) -> None:
        """Open the module's GPIO controller. Raises DoorError for an unknown module."""
        module = detect_module(compatible)
        super().__init__(chip=_find_chip(module.controller))
        self._info = _board(module)

    def _get_board_info(self) -> Any:
        return self._info


def _board(module: JetsonModule) -> Any:
    """Return gpiozero's description of the board; a pin's name must be GPIO<line>."""
    pins = {
        number: PinInfo(
            number=number,
            name=f"GPIO{line}",
            names=frozenset({f"BOARD{number}", f"{_HEADER}:{number}"}),
            pull="",
            row=(number + 1) // 2,
            col=2 - number % 2,
            interfaces=frozenset({"gpio"}),
        )
        for number, line in module.lines.items()
    }
    unknown = dict.fromkeys(BoardInfo._fields, 0)
    return BoardInfo(
        **{
            **unknown,
            "revision": module.part,
            "model": module.name,
            "pcb_revision": "",
            "released": "",
            "soc": module.controller.partition("-")[0],
            "manufacturer": "NVIDIA",
            "storage": "",
            "headers": {_HEADER: HeaderInfo(_HEADER, 20, 2, pins)},
            "board": "",
        }
    )
