"""Kinds of files that an atomic write may replace."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.system.atomic_files import NotRegularError, write_atomic


def test_write_atomic_keeps_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "null"  # stands for /dev/null, which root could replace by a file
    os.mkfifo(fifo)
    with pytest.raises(NotRegularError):
        write_atomic(fifo, b"backup")
    assert stat.S_ISFIFO(fifo.lstat().st_mode) and list(tmp_path.iterdir()) == [fifo]
