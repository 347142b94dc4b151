"""Clocks, temperatures, power and throttling of this machine."""

from __future__ import annotations

from pathlib import Path

from edge.ops.platform.readings import MachineReading, MachineSetup, Platform

__all__ = ["MachineReading", "MachineSetup", "Platform", "open_platform"]


def open_platform(root: Path = Path("/")) -> Platform:
    """Return the platform: a Jetson if its release file exists, else a PC."""
    if (root / "etc/nv_tegra_release").is_file():
        from edge.ops.platform.jetson import JetsonPlatform

        return JetsonPlatform(root)
    from edge.ops.platform.pc import PcPlatform

    return PcPlatform(root)
