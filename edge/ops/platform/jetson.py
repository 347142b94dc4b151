"""Readings of a Jetson: from sysfs, the rest from `tegrastats`."""

from __future__ import annotations

import re
from pathlib import Path

from edge.ops.platform import sysfs
from edge.ops.platform.readings import MachineReading, MachineSetup
from edge.ops.platform.tegrastats import Tegrastats


class JetsonPlatform:
    """Jetson whose sensors are readable by every account."""

    def __init__(self, root: Path = Path("/"), tegrastats: str = "tegrastats") -> None:
        self._root = root
        self._command = tegrastats
        self._tegrastats: Tegrastats | None = None  # runs from the first reading on

    def setup(self) -> MachineSetup:
        root = self._root
        return MachineSetup(
            board=sysfs.read_text(root / "sys/firmware/devicetree/base/model")
            or sysfs.read_text(root / "proc/device-tree/model"),
            l4t=release(sysfs.read_text(root / "etc/nv_tegra_release") or ""),
            power_mode=power_mode(
                sysfs.read_text(root / "var/lib/nvpmodel/status") or "",
                sysfs.read_text(root / "etc/nvpmodel.conf") or "",
            ),
            clocks_locked=sysfs.clocks_locked(root),
            governor=sysfs.governor(root),
        )

    def read(self) -> MachineReading:
        root = self._root
        load = sysfs.gpu_load(root)
        self._tegrastats = self._tegrastats or Tegrastats(self._command)
        return MachineReading(
            sysfs.clocks_mhz(root),
            sysfs.temperatures_c(root),
            sysfs.rails_w(root),
            {} if load is None else {"gpu": load},
            sysfs.throttled_by(root),
            sysfs.throttle_events(root),
        ).merged(self._tegrastats.newest)

    def close(self) -> None:
        if self._tegrastats is not None:
            self._tegrastats.close()


def release(text: str) -> str | None:
    """Return the release, such as `R36.4.0`, from the first line of nv_tegra_release."""
    match = re.match(r"# (R\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"{match[1]}.{match[2]}" if match else None


def power_mode(status: str, conf: str) -> str | None:
    """Return the name of the power mode, None if it is unknown.

    `status` has the number of the mode, `conf` (nvpmodel.conf) the names and the default.
    """
    chosen = re.search(r"pmode:0*(\d+)", status) or re.search(
        r"^< *PM_CONFIG +DEFAULT=(\d+)", conf, re.MULTILINE
    )
    if chosen is None:
        return None
    named = re.search(rf"^< *POWER_MODEL +ID={chosen[1]} +NAME=([^\s>]+)", conf, re.MULTILINE)
    return named[1] if named else f"mode {chosen[1]}"
