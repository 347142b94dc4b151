"""List of the kernel's V4L2 cameras."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """V4L2 capture device; `name` is the one that its driver gives."""

    number: int
    path: Path
    name: str
    is_readable: bool


def list_devices(root: Path = Path("/")) -> list[VideoDevice]:
    """Return all capture devices by number; nodes that carry only metadata are left out."""
    nodes = [node for node in (root / "dev").glob("video*") if node.name[5:].isdecimal()]
    devices = []
    for node in sorted(nodes, key=lambda node: int(node.name[5:])):
        about = root / "sys/class/video4linux" / node.name
        if _read(about / "index") in ("", "0"):
            name = _read(about / "name") or "unnamed"
            readable = os.access(node, os.R_OK | os.W_OK)
            devices.append(VideoDevice(int(node.name[5:]), node, name, readable))
    return devices


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
