"""Pages of events over several logs, by time; the work for one page is limited."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edge.console.records.cursor import Cursor, EventId, event_id, format_cursor
from edge.console.records.events import Event, EventFilter
from edge.console.records.log_file import Entry, LogFile, entry_id

EXAMINED_MAX = 10_000  # records that one page examines
BYTES_MAX = 256 << 20  # of the segments that one page reads


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Events in the requested order, and the cursors of the pages around it."""

    events: list[Event]
    older: str | None  # None: there are no older records
    newer: str  # also without newer records: the next ones come after it
    is_partial: bool  # the limit of the search was reached before the page was full
    unreadable: Mapping[str, str]  # reason why a log could not be read, by its name


@dataclass(slots=True, eq=False)
class _Scan:
    """Position of one page in each log."""

    given: Cursor | None
    heads: dict[str, Entry] = field(default_factory=dict)  # first entry of each log
    first: dict[str, Entry] = field(default_factory=dict)  # first examined one
    last: dict[str, Entry] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    examined: int = 0
    bytes_read: int = 0

    def count_bytes(self, count: int) -> None:
        self.bytes_read += count

    def watch(self, log: str, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Yield entries until the log cannot be read."""
        try:
            for entry in entries:
                self.heads.setdefault(log, entry)
                yield entry
        except OSError as error:
            self.unreadable[log] = error.strerror or str(error)

    def take(self, entry: Entry) -> None:
        """Note that an entry was examined."""
        self.examined += 1
        self.first.setdefault(entry.log, entry)
        self.last[entry.log] = entry

    @property
    def is_over(self) -> bool:
        return self.examined >= EXAMINED_MAX or self.bytes_read >= BYTES_MAX

    def cursor(self, examined: Mapping[str, Entry], step: int) -> str:
        """Return the position at examined entries; `step` from the given one in other logs."""
        found = {log: _moved(each, step) for log, each in (self.given or {}).items()}
        if self.given is None:
            found = {log: EventId(log, head.number + 1) for log, head in self.heads.items()}
        for log, entry in examined.items():
            found[log] = entry_id(entry)
        return format_cursor(found)


def read_older(
    logs: Sequence[LogFile], wanted: EventFilter, before: Cursor | None, limit: int
) -> Page:
    """Return the events before a cursor, newest first; without one, the newest."""
    scan = _Scan(before)
    streams = [
        scan.watch(
            log.name,
            log.entries_before(
                before[log.name] if before is not None else None, wanted.times, scan.count_bytes
            ),
        )
        for log in _selected(logs, wanted)
        if before is None or log.name in before
    ]
    merged = heapq.merge(*streams, key=lambda entry: -entry.wall)
    events, is_end = _collect(merged, scan, wanted, limit)
    newer = scan.cursor(scan.first, -1) if before is not None else _after_heads(scan)
    older = None if is_end else scan.cursor(scan.last, 0)
    return Page(events, older, newer, scan.is_over and len(events) < limit, scan.unreadable)


def read_newer(logs: Sequence[LogFile], wanted: EventFilter, after: Cursor, limit: int) -> Page:
    """Return the events after a cursor, oldest first."""
    scan = _Scan(after)
    streams = [
        scan.watch(log.name, log.entries_after(after.get(log.name), wanted.times, scan.count_bytes))
        for log in _selected(logs, wanted)
    ]
    merged = heapq.merge(*streams, key=lambda entry: entry.wall)
    events, _ = _collect(merged, scan, wanted, limit)
    newer, older = scan.cursor(scan.last, 0), scan.cursor(scan.first, 1)
    return Page(events, older, newer, scan.is_over and len(events) < limit, scan.unreadable)


def _selected(logs: Sequence[LogFile], wanted: EventFilter) -> list[LogFile]:
    return [log for log in logs if wanted.log in ("", log.name)]


def _collect(
    entries: Iterator[Entry], scan: _Scan, wanted: EventFilter, limit: int
) -> tuple[list[Event], bool]:
    """Return up to `limit` events, and True if there are no more entries."""
    events: list[Event] = []
    while len(events) < limit and not scan.is_over:
        if (entry := next(entries, None)) is None:
            return events, True
        scan.take(entry)
        if not wanted.may_select(entry):
            continue
        record = entry.parse()
        if record is not None and wanted.selects(entry.log, record):
            events.append(Event(event_id(entry.log, record), record))
    return events, False


def _after_heads(scan: _Scan) -> str:
    """Return the cursor after the newest entry of each log."""
    return format_cursor({log: entry_id(head) for log, head in scan.heads.items()})


def _moved(each: EventId, step: int) -> EventId:
    return each if step == 0 else EventId(each.log, max(0, each.number + step))
