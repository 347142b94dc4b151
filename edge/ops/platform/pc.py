"""A PC: what psutil can tell, and the kernel's own count of thermal throttling."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.ops.platform import sysfs
from edge.ops.platform.readings import MachineReading, MachineSetup

_SHORTEST_S = 0.1  # in which a load can be told


def import_psutil() -> Any:
    """None where it is not installed; then clocks, temperatures and loads are not available."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil


class PcPlatform:
    """`psutil` may be another object with its functions."""

    def __init__(
        self,
        root: Path = Path("/"),
        psutil: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._clock = root, clock
        self._looked_at = math.inf
        self._psutil = psutil or import_psutil()

    def setup(self) -> MachineSetup:
        maker, model = (
            sysfs.text(self._root / f"sys/class/dmi/id/{part}")
            for part in ("sys_vendor", "product_name")
        )
        board = " ".join(part for part in (maker, model) if part)
        return MachineSetup(
            board=board or None,
            clocks_locked=sysfs.locked(self._root),
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
            told = self._psutil.cpu_freq(percpu=True) or []
        except (
            OSError,
            NotImplementedError,
            AttributeError,
        ):  # no such file on many virtual machines
            return {}
        return {f"cpu{n}": float(one.current) for n, one in enumerate(told) if one.current}

    def _temperatures(self) -> dict[str, float]:
        try:
            told = self._psutil.sensors_temperatures()
        except (OSError, AttributeError):
            return {}
        named = [
            (one.label or chip, one.current) for chip, sensors in told.items() for one in sensors
        ]
        return {name.lower(): float(celsius) for name, celsius in named if celsius}

    def _loads(self) -> dict[str, float]:
        """Of each processor since the last look; the first look knows nothing, nor does one that comes at once."""
        now = self._clock()
        if 0 <= now - self._looked_at < _SHORTEST_S:
            return {}
        known, self._looked_at = math.isfinite(self._looked_at), now
        loads = self._psutil.cpu_percent(percpu=True)
        return {f"cpu{n}": float(percent) for n, percent in enumerate(loads)} if known else {}
