"""Waveforms on two lines of a GPIO chip through lgpio, whose own thread times them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.door.readers.wiegand_wave import WaveStep
from edge.errors import DoorError

# lgpio writes a FIFO to its working directory, which may be read-only.
os.environ.setdefault("LG_WD", "/tmp")

import lgpio

_BOTH = 0b11
_NAME_PLACE = 3  # of a line's information


class LgpioWave:
    """Lines D0 and D1 as outputs."""

    def __init__(self, chip: Path, lines: tuple[int | str, int | str], idle_levels: int) -> None:
        """Claim the lines, idle. Raises DoorError."""
        self._idle_levels = idle_levels
        self._chip = chip
        self._handle = _open_chip(chip)
        try:
            with _translated(chip):
                self._lines = [_find_line(self._handle, line) for line in lines]
                self._claim()
        except BaseException:
            lgpio.gpiochip_close(self._handle)
            raise

    def start(self, steps: Sequence[WaveStep]) -> None:
        with _translated(self._chip):
            pulses = [lgpio.pulse(step.levels, _BOTH, step.duration_us) for step in steps]
            lgpio.tx_wave(self._handle, self._lines[0], pulses)

    def is_busy(self) -> bool:
        with _translated(self._chip):
            return bool(lgpio.tx_busy(self._handle, self._lines[0], lgpio.TX_WAVE))

    def close(self) -> None:
        # Freed first: that ends a waveform. Claimed again: idle, whatever level it ended with.
        for step in (self._free, self._claim, self._free, self._close_chip):
            with contextlib.suppress(Exception):  # of lgpio: the next step must be tried
                step()

    def _claim(self) -> None:
        levels = [self._idle_levels & 1, self._idle_levels >> 1]
        lgpio.group_claim_output(self._handle, self._lines, levels)

    def _close_chip(self) -> None:
        lgpio.gpiochip_close(self._handle)

    def _free(self) -> None:
        lgpio.group_free(self._handle, self._lines[0])


def check_waves(chip: Path, lines: tuple[int | str, int | str]) -> None:
    """Check that lgpio can send waveforms on the lines; claims none. Raises DoorError."""
    handle = _open_chip(chip)
    try:
        with _translated(chip):
            for line in lines:
                room = int(lgpio.tx_room(handle, _find_line(handle, line), lgpio.TX_WAVE))
                if room < 1:
                    raise DoorError(
                        f"{chip}: line {line} takes no waveform (room {room}); "
                        "end the program that uses it, or write another line"
                    )
    finally:
        lgpio.gpiochip_close(handle)


def _open_chip(chip: Path) -> int:
    found = re.fullmatch(r"/dev/gpiochip([0-9]+)", str(chip.resolve()))
    if found is None:
        raise DoorError(f"{chip}: expected a GPIO chip such as /dev/gpiochip0; see gpioinfo")
    with _translated(chip):
        return int(lgpio.gpiochip_open(int(found[1])))


def _find_line(handle: int, line: int | str) -> int:
    """Return the number of a line; raises DoorError for an unknown name."""
    if isinstance(line, int):
        return line
    count = int(lgpio.gpio_get_chip_info(handle)[1])
    for number in range(count):
        info: Any = lgpio.gpio_get_line_info(handle, number)
        if info[_NAME_PLACE] == line:
            return number
    raise DoorError(f"no line has the name {line}; see gpioinfo")


@contextlib.contextmanager
def _translated(chip: Path) -> Iterator[None]:
    """Translate errors of lgpio."""
    try:
        yield
    except lgpio.error as error:
        raise DoorError(
            f"{chip}: the lines cannot send pulses: {error}; see gpioinfo and docs/wiring.md"
        ) from error
