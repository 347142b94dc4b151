"""Detection of boards without a hardware clock, and of time synchronisation since the boot."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # struct timex is shorter on every architecture
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def kernel_is_synchronised() -> bool | None:
    """Return the kernel's synchronisation state, None if it is not available."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: read only
    try:
        state = ctypes.CDLL(None).adjtimex(buffer)
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def needs_synchronisation(root: Path = Path("/")) -> bool:
    """Return True for a board without a hardware clock: its time after the boot is a guess.

    A machine without a device tree is a PC, which has such a clock even if a container hides it.
    """
    if not (root / "sys/firmware/devicetree/base").is_dir():
        return False
    return not any((root / "sys/class/rtc").glob("rtc*"))


def is_synchronised(
    root: Path = Path("/"), kernel: Callable[[], bool | None] = kernel_is_synchronised
) -> bool:
    """Return True if the time was synchronised since the boot, or if that is unknown.

    systemd's `ProtectClock=` denies the query to the kernel; systemd-timesyncd leaves a file then.
    """
    timesyncd = root / "run/systemd/timesync"
    if (timesyncd / "synchronized").exists():
        return True
    answer = kernel()
    return not timesyncd.is_dir() if answer is None else answer


def boot_id() -> str:
    """Return the identifier of this boot, empty if the kernel gives none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
