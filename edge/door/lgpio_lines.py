"""Programs that use GPIO lines, as lgpio shows them. NOT TESTED ON HARDWARE."""

from __future__ import annotations

import os

# lgpio writes a FIFO to its working directory, which may be read-only.
os.environ.setdefault("LG_WD", "/tmp")

import lgpio

_FLAGS_INDEX, _USER_INDEX = 2, 4  # of a line's information
_IN_USE = 1


def find_line_user(chip: int, line: int) -> str | None:
    """Return the user of a line, None if it is free; claims nothing. Raises errors of lgpio."""
    handle = lgpio.gpiochip_open(chip)
    try:
        info = lgpio.gpio_get_line_info(handle, line)
    finally:
        lgpio.gpiochip_close(handle)
    if not info[_FLAGS_INDEX] & _IN_USE:
        return None
    return info[_USER_INDEX] or "the kernel"
