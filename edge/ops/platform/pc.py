"""Readings of a PC: from psutil, and the kernel's count of thermal throttling."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.ops.platform import sysfs
from edge.ops.platform.readings import MachineReading, MachineSetup

_SHORTEST_S = 0.1  # shortest interval for a load


def import_psutil() -> Any:
    """Return psutil, None if it is not installed: without clocks, temperatures and loads."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil


class PcPlatform:
    """PC; `psutil` may be an object with the same functions."""

    def __init__(
        self,
        root: Path = Path("/"),
        psutil: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._clock = root, clock
        self._read_at = math.inf
        self._psutil = psutil or import_psutil()

    def setup(self) -> MachineSetup:
        maker, model = (
            sysfs.read_text(self._root / f"sys/class/dmi/id/{part}")
            for part in ("sys_vendor", "product_name")
        )
        board = " ".join(part for part in (maker, model) if part)
        return MachineSetup(
            board=board or None,
            clocks_locked=sysfs.clocks_locked(self._root),
            governor=sysfs.governor(self._root),
        )

    def read(self) -> MachineReading:
        events = sysfs.throttle_events(self._root)
        if self._psutil is None:
            return MachineReading(throttle_events=events)
        return MachineReading(self._clocks(), self._temperatures(), {}, self._loads(), None, events)

    def close(self) -> None:
        pass

    def _clocks(self) -> dict[str, float]:
        try:
            clocks = self._psutil.cpu_freq(percpu=True) or []
        except (OSError, NotImplementedError, AttributeError):  # on many virtual machines
            return {}
        return {f"cpu{n}": float(one.current) for n, one in enumerate(clocks) if one.current}

    def _temperatures(self) -> dict[str, float]:
        try:
            chips = self._psutil.sensors_temperatures()
        except (OSError, AttributeError):
            return {}
        named = [
            (one.label or chip, one.current) for chip, sensors in chips.items() for one in sensors
        ]
        return {name.lower(): float(celsius) for name, celsius in named if celsius}

    def _loads(self) -> dict[str, float]:
        """Return the load of each processor since the last reading.

        Empty for the first reading and for one shortly after another.
        """
        now = self._clock()
        if 0 <= now - self._read_at < _SHORTEST_S:
            return {}
        known, self._read_at = math.isfinite(self._read_at), now
        loads = self._psutil.cpu_percent(percpu=True)
        return {f"cpu{n}": float(percent) for n, percent in enumerate(loads)} if known else {}
