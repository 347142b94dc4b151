"""Reads the records of one log forwards and backwards, one segment at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from edge.audit.chain import LINE_MAX
from edge.audit.reader import parse_record, read_segment, segments_since
from edge.audit.segments import first_record_id, list_segments
from edge.console.records.cursor import EventId, event_id

_HEAD = re.compile(rb'^\{"id":([0-9]{1,18}),"wall":(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)[,}]', re.M)
_EXTENTS_MAX = 4096  # segments of which the times are kept
_ENTRIES_MAX = 60_000  # of a segment; one of the writer has fewer than 20,000

Read = Callable[[int], object]  # called with the bytes of each segment that is read


@dataclass(frozen=True, slots=True)
class Entry:
    """Line of a log, not parsed yet."""

    log: str
    number: int
    wall: float
    line: bytes

    def parse(self) -> dict[str, Any] | None:
        """Return the record; None if the line is no record."""
        return parse_record(self.line)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """Range of Unix seconds; each end may be open."""

    since: float | None = None
    until: float | None = None

    def has(self, wall: float) -> bool:
        return (self.since is None or wall >= self.since) and (
            self.until is None or wall < self.until
        )

    def overlaps(self, oldest: float, newest: float) -> bool:
        return (self.since is None or newest >= self.since) and (
            self.until is None or oldest < self.until
        )

    @property
    def is_open(self) -> bool:
        return self.since is None and self.until is None


ALL_TIMES = TimeSpan()


@dataclass(frozen=True, slots=True)
class _Extent:
    """Times and numbers of the records of one segment."""

    oldest: float
    newest: float
    first: int
    last: int


@dataclass(slots=True, eq=False)
class LogFile:
    """Folder of segments. Methods raise OSError if it cannot be read."""

    name: str
    folder: Path
    _extents: dict[tuple[Path, int], _Extent] = field(default_factory=dict)

    def entries_before(
        self, position: EventId | None, times: TimeSpan = ALL_TIMES, read: Read = lambda _: None
    ) -> Iterator[Entry]:
        """Yield entries before a position, newest first; without one, from the end.

        Nothing is yielded if the position is of another log that had this name.
        """
        number = None if position is None else position.number
        for path in reversed(list_segments(self.folder)):
            if number is not None and first_record_id(path) > number:
                continue
            for entry in reversed(self._read(path, times, read, forward=False)):
                if position is not None and entry.number == position.number:
                    if not position.names(entry_id(entry)):
                        return
                elif number is None or entry.number < number:
                    number = entry.number
                    yield entry

    def entries_after(
        self, position: EventId | None, times: TimeSpan = ALL_TIMES, read: Read = lambda _: None
    ) -> Iterator[Entry]:
        """Yield entries after a position, oldest first; without one, from the start.

        If the log was started again, or lost its end, it continues with the first record that is
        newer than the position.
        """
        number = 0 if position is None else self._number_of(position)
        for path in segments_since(list_segments(self.folder), number):
            for entry in self._read(path, times, read, forward=True):
                if entry.number > number:
                    number = entry.number
                    yield entry

    def find(self, number: int) -> Entry | None:
        """Return the entry of a number."""
        paths = [path for path in list_segments(self.folder) if first_record_id(path) <= number]
        if not paths:
            return None
        entries = self._read_all(paths[-1], lambda _: None)
        return next((entry for entry in entries if entry.number == number), None)

    def newest(self) -> Entry | None:
        """Return the newest entry that is a record."""
        return next((e for e in self.entries_before(None) if e.parse() is not None), None)

    def _number_of(self, position: EventId) -> int:
        """Return the number after which the records that follow a position begin."""
        found = self.find(position.number)
        if found is not None and position.names(entry_id(found)):
            return position.number
        newest = next(self.entries_before(None), None)
        if position.second is None or newest is None:
            return position.number
        if found is None and newest.number > position.number:  # removed by retention, or torn
            return position.number
        older = (e for e in self.entries_before(None) if int(e.wall) <= (position.second or 0))
        return next((entry.number for entry in older), 0)

    def _read(self, path: Path, times: TimeSpan, read: Read, *, forward: bool) -> list[Entry]:
        """Return the entries of a segment in a range of time, oldest first.

        A segment without any gives an entry without a line, so that the caller makes progress.
        """
        if times.is_open:
            return self._read_all(path, read)
        try:
            key = (path, path.stat().st_size)
        except FileNotFoundError:
            return []
        entries: list[Entry] = []
        if (extent := self._extents.get(key)) is None:
            entries = self._read_all(path, read)
            if not entries:
                return []
            extent = self._note_extent(key, entries)
        elif times.overlaps(extent.oldest, extent.newest):
            entries = self._read_all(path, read)
        selected = [entry for entry in entries if times.has(entry.wall)]
        number, wall = (extent.last, extent.newest) if forward else (extent.first, extent.oldest)
        return selected or [Entry(self.name, number, wall, b"")]

    def _read_all(self, path: Path, read: Read) -> list[Entry]:
        data = read_segment(path)
        read(len(data))
        return self.split(data)

    def _note_extent(self, key: tuple[Path, int], entries: list[Entry]) -> _Extent:
        if len(self._extents) >= _EXTENTS_MAX:
            self._extents.clear()
        walls, numbers = [e.wall for e in entries], [e.number for e in entries]
        extent = _Extent(min(walls), max(walls), min(numbers), max(numbers))
        self._extents[key] = extent
        return extent

    def split(self, data: bytes) -> list[Entry]:
        """Return the entries of complete lines; lines whose number does not grow are left out."""
        found, newest = [], 0
        for match in islice(_HEAD.finditer(data), _ENTRIES_MAX):
            end = data.find(b"\n", match.start())
            number = int(match[1])
            if 0 <= end - match.start() <= LINE_MAX and number > newest:
                newest = number
                line = data[match.start() : end]
                found.append(Entry(self.name, number, float(match[2]), line))
        return found


def entry_id(entry: Entry) -> EventId:
    """Return the id of an entry; without time and hash if its line is no record."""
    record = entry.parse()
    return event_id(entry.log, record) if record else EventId(entry.log, entry.number)
