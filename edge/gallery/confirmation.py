"""Confirmation of the gallery's state in the recogniser's memory; commands wait for it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from edge.config import DAEMON_LOCK, GALLERY_CONFIRMED, INSTANCES, TerminalConfig
from edge.errors import GalleryError
from edge.gallery.database import Position
from edge.system.atomic_files import read_regular, write_atomic
from edge.system.lockfile import is_locked
from edge.system.strict_json import read_json

_POLL_S = 0.05
_FILE_MAX = 4096


def write_confirmation(path: Path, position: Position) -> None:
    """Write the position in memory, atomically. Raises GalleryError."""
    try:
        write_atomic(path, json.dumps(asdict(position)).encode())
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be written: {error.strerror}; commands that change the gallery will "
            "report that the recogniser has not confirmed; check the rights of the folder"
        ) from error


def read_confirmation(path: Path) -> Position | None:
    """Return the position that was confirmed last; None if the file is missing or invalid."""
    try:
        position = Position(**read_json(read_regular(path, _FILE_MAX)))
    except (OSError, ValueError, TypeError):
        return None
    numbers = (position.device, position.inode, position.revision)
    return position if all(type(number) is int for number in numbers) else None


def forget_confirmation(path: Path) -> None:
    """Remove the confirmation of an earlier process, which is not valid for this one."""
    with contextlib.suppress(OSError):
        path.unlink()


def await_confirmation(
    config: TerminalConfig,
    position: Position,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until all running recognisers have a position, or a later one, in memory.

    Returns at once if none runs. Raises GalleryError after `gallery.confirm_s`.
    """
    ends_at = clock() + config.gallery.confirm_s
    while waiting := [one for one in _recogniser_folders(config) if _lacks(one, position)]:
        if clock() >= ends_at:
            raise GalleryError(
                "the gallery is changed, but the recogniser has not confirmed the change within "
                f"{config.gallery.confirm_s:g} s: it may still act on the old gallery; restart "
                f"{' and '.join(map(_unit, waiting))} (sudo systemctl restart)"
            )
        pause(_POLL_S)


def _recogniser_folders(config: TerminalConfig) -> list[Path]:
    """Return the folders of all recognisers that share the gallery."""
    instances = (config.state / INSTANCES).glob("*")
    return [config.state, *(folder for folder in instances if folder.is_dir())]


def _lacks(folder: Path, position: Position) -> bool:
    """Return True if the recogniser of a folder runs without a position."""
    if not is_locked(folder / DAEMON_LOCK):
        return False
    return not _reached(read_confirmation(folder / GALLERY_CONFIRMED), position)


def _unit(folder: Path) -> str:
    return f"edge-daemon@{folder.name}" if folder.parent.name == INSTANCES else "edge-daemon"


def _reached(confirmed: Position | None, wanted: Position) -> bool:
    return (
        confirmed is not None
        and (confirmed.device, confirmed.inode, confirmed.key_check)
        == (wanted.device, wanted.inode, wanted.key_check)
        and confirmed.revision >= wanted.revision
    )
