"""Groups and devices that systemd gives a service."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

_PROPERTIES = "LoadState,SupplementaryGroups,DevicePolicy,DeviceAllow"
_TIMEOUT_S = 5.0
_CLASSES = Path("/proc/devices")


@dataclass(frozen=True, slots=True)
class UnitRights:
    """Rights of a unit with its drop-ins."""

    unit: str
    groups: tuple[str, ...]
    devices: tuple[str, ...] | None  # such as char-gpiochip or char-tty*; None: all

    def allows(self, device: Path) -> bool:
        """Return True if the unit may open a character device, by its path or class."""
        names = (str(device), os.path.realpath(device), f"char-{device_class(device)}")
        return self.devices is None or any(
            fnmatchcase(name, pattern) for name in names for pattern in self.devices
        )


def read_unit_rights(unit: str) -> UnitRights | None:
    """Return the rights of an installed unit, None without it or without systemd."""
    try:
        done = subprocess.run(
            ["systemctl", "show", f"--property={_PROPERTIES}", unit],
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    values: defaultdict[str, list[str]] = defaultdict(list)
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        values[name].append(value)
    if values["LoadState"] != ["loaded"]:
        return None
    devices = tuple(value.split()[0] for value in values["DeviceAllow"] if value)
    is_restricted = bool(devices) or values["DevicePolicy"] != ["auto"]
    groups = tuple(" ".join(values["SupplementaryGroups"]).split())
    return UnitRights(unit, groups, devices if is_restricted else None)


def device_class(device: Path) -> str:
    """Return the kernel's name for the class of a character device, such as ttyUSB."""
    number = os.major(device.stat().st_rdev)
    characters = _CLASSES.read_text(encoding="ascii").partition("\nBlock devices:")[0]
    found = re.search(rf"^ *{number} (\S+)$", characters, re.MULTILINE)
    return found[1] if found else str(number)
