"""Lock of the zones among door processes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edge.door.zone_lock import ZoneLock


def make(folder: Path, now: float = 0.0) -> ZoneLock:
    return ZoneLock(folder / "zones.lock", lambda: now)


def test_one_lock_is_held_at_a_time(tmp_path: Path) -> None:
    left, right = make(tmp_path), make(tmp_path)
    assert left.try_acquire() and left.try_acquire() and not right.try_acquire()
    left.release()
    assert right.try_acquire() and not left.try_acquire()
    right.close()  # as the kernel does when a process ends
    assert left.try_acquire()
    assert stat.S_IMODE((tmp_path / "zones.lock").stat().st_mode) == 0o600


def test_removed_lock_file_is_replaced(tmp_path: Path) -> None:
    left, right = make(tmp_path), make(tmp_path)
    (tmp_path / "zones.lock").unlink()
    assert not left.try_acquire() and left.try_acquire()
    assert not right.try_acquire() and not right.try_acquire()
    left.release()
    assert right.try_acquire()


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_other_file_is_no_lock(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "zones.lock", tmp_path / "target"
    if kind == "link":
        path.symlink_to(target)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert not make(tmp_path).try_acquire() and not target.exists()


def test_lock_file_is_opened_when_it_can_be(tmp_path: Path) -> None:
    now = 0.0
    (tmp_path / "zones.lock").mkdir()
    lock = ZoneLock(tmp_path / "zones.lock", lambda: now)
    (tmp_path / "zones.lock").rmdir()
    assert not lock.try_acquire()
    now += 2.0
    assert lock.try_acquire()
