"""Scratch folders in memory, for tests that write more than a disk should bear."""

from __future__ import annotations

import tempfile
from pathlib import Path

_IN_MEMORY = Path("/dev/shm")


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Yield a folder that is deleted at the end of the `with` block.

    On a disk where this machine has no file system in memory.
    """
    return tempfile.TemporaryDirectory(
        prefix="mfsa-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None
    )
