"""gpiozero pin factory for the 40-pin header of a Jetson, through lgpio.

gpiozero has none of its own. Lines are those of the module's main GPIO controller, as in NVIDIA's
Jetson.GPIO. Header pins of the always-on controller, which is another chip, are left out.
NOT TESTED ON HARDWARE; tested with a substitute for lgpio.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gpiozero import BoardInfo, HeaderInfo, PinInfo

from edge.door.jetson_modules import COMPATIBLE, JetsonModule, detect_module
from edge.errors import DoorError

# lgpio writes a FIFO to its working directory, which may be read-only.
os.environ.setdefault("LG_WD", "/tmp")

import lgpio
from gpiozero.pins.lgpio import LGPIOFactory

_CHIPS = 10
_HEADER = "J40"


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

    def __init__(self, compatible: Path = COMPATIBLE) -> None:
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
