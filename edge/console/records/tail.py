"""Follows the end of one log: reads only what the writer appended."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path

from edge.audit.segments import list_segments
from edge.console.records.cursor import EventId, event_id
from edge.console.records.events import Event
from edge.console.records.log_file import Entry, LogFile, entry_id
from edge.system.atomic_files import open_regular

BATCH = 500  # records that one poll returns at most
_APPENDED_MAX = 1 << 20  # bytes that are read without a look at the folder
_RESYNC_S = 5.0  # a change of the folder may be missed within one tick of its time


class LogTail:
    """Position at the end of a log. The first poll finds the end and returns nothing."""

    def __init__(self, log: LogFile) -> None:
        self.log = log
        self.position: EventId | None = None  # newest record; None without one
        self.is_placed = False  # the end was found: the log could be read
        self._folder: tuple[int, int, int] | None = None  # device, inode and time of change
        self._synced_at = float("-inf")
        self._fd, self._offset = -1, 0  # of the newest segment, and bytes read of it

    def poll(self) -> list[Event]:
        """Return new records, oldest first. Raises OSError if the log cannot be read."""
        if not self.is_placed:
            newest = self.log.newest()
            self.position = entry_id(newest) if newest else None
            self.is_placed = True
            return []
        folder = _identify(self.log.folder)
        is_due = time.monotonic() - self._synced_at > _RESYNC_S
        if folder is None or folder != self._folder or is_due:
            entries = self._resync()
            self._folder = folder if len(entries) < BATCH else None  # more may follow
        else:
            entries = self._read_appended()
        records = (entry.parse() for entry in entries)
        found = [Event(event_id(self.log.name, each), each) for each in records if each]
        if found:
            self.position = found[-1].id
        return found

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._offset = -1, 0

    def _resync(self) -> list[Entry]:
        """Find the position again, and open the newest segment."""
        self.close()
        self._synced_at = time.monotonic()
        paths = list_segments(self.log.folder)
        if paths:
            self._open(paths[-1])
        return list(islice(self.log.entries_after(self.position), BATCH))

    def _open(self, path: Path) -> None:
        """Open the newest segment at the end of its last complete line."""
        try:
            self._fd = open_regular(path)
        except FileNotFoundError:  # removed by the writer
            return
        size = os.fstat(self._fd).st_size
        start = max(0, size - _APPENDED_MAX)
        self._offset = start + os.pread(self._fd, size - start, start).rfind(b"\n") + 1

    def _read_appended(self) -> list[Entry]:
        if self._fd < 0:
            return []
        size = os.fstat(self._fd).st_size
        if size == self._offset:
            return []
        if not 0 < size - self._offset <= _APPENDED_MAX:
            return self._resync()
        data = os.pread(self._fd, size - self._offset, self._offset)
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        newest = self.position.number if self.position else 0
        return [entry for entry in self.log.split(data) if entry.number > newest]


def _identify(folder: Path) -> tuple[int, int, int] | None:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
