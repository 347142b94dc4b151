"""Clocks, temperatures, power and throttling of the machine that this runs on."""

from __future__ import annotations

from pathlib import Path

from edge.ops.platform.readings import Platform, Reading, Setup

__all__ = ["Platform", "Reading", "Setup", "open_platform"]


def open_platform(root: Path = Path("/")) -> Platform:
    """A Jetson by its release file, else a PC."""
    if (root / "etc/nv_tegra_release").is_file():
        from edge.ops.platform.jetson import Jetson

        return Jetson(root)
    from edge.ops.platform.pc import Pc

    return Pc(root)
