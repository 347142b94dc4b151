"""Feed of the records of all logs: pages, single events, and new events as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge.audit.formatting import unix_time
from edge.console.records import paging
from edge.console.records.cursor import Cursor, EventId, advance, format_cursor, parse_cursor
from edge.console.records.events import Event, EventFilter
from edge.console.records.log_file import LogFile, entry_id
from edge.console.records.paging import Page
from edge.console.records.tail import BATCH, LogTail
from edge.errors import RecordError

log = logging.getLogger(__name__)

_POLL_S = 0.2
LOGS_POLLS = 50  # between two searches for logs of new recognisers and doors
RECENT_MAX = 1000  # events in memory for subscribers
_READERS_MAX = 2  # pages that are read at the same time; each holds a segment of each log
SUBSCRIBERS_MAX = 32

FindLogs = Callable[[], tuple[Sequence[LogFile], str]]  # logs, and why others are not known
Observer = Callable[[Event], object]


@dataclass(frozen=True, slots=True)
class LogStatus:
    """State of one log as the console sees it."""

    newest: int  # number of the newest record, 0 without one
    error: str  # why it cannot be read; empty if it can


class RecordFeed:
    """Follows the logs in one thread. Nothing here waits for the processes that write them."""

    def __init__(self, find_logs: FindLogs, observers: Sequence[Observer] = ()) -> None:
        self._find_logs = find_logs
        self._observers = list(observers)  # called in the thread of the feed
        self._tails: dict[str, LogTail] = {}
        self._status: dict[str, LogStatus] = {}
        self._problem = ""  # why not all logs are known
        self._recent: deque[Event] = deque()
        self._base: dict[str, EventId] = {}  # positions before the first recent event
        self._lock = threading.Lock()  # of everything above that several threads use
        self._readers = threading.BoundedSemaphore(_READERS_MAX)
        self._waiters: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="records", daemon=True)

    def start(self) -> None:
        """Follow the logs from their present ends on."""
        self._update_logs()
        self._poll()
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for tail in self._tails.values():
            tail.close()

    @property
    def logs(self) -> list[LogFile]:
        with self._lock:
            return [tail.log for tail in self._tails.values()]

    @property
    def is_running(self) -> bool:
        """True while new records are noticed."""
        return self._thread.is_alive()

    def status(self) -> tuple[Mapping[str, LogStatus], str]:
        """Return the state of each log, and why not all logs are known; empty if they are."""
        with self._lock:
            return dict(self._status), self._problem

    def read_page(
        self,
        wanted: EventFilter,
        limit: int,
        *,
        before: Cursor | None = None,
        after: Cursor | None = None,
    ) -> Page:
        """Return events before a cursor, newest first, or after one, oldest first.

        Without a cursor the newest events. Raises RecordError for an unknown log.
        """
        logs = self.logs
        if wanted.log and wanted.log not in (names := [each.name for each in logs]):
            raise RecordError(f"log {wanted.log!r}: expected one of {', '.join(names) or 'none'}")
        with self._readers:
            if after is not None:
                return paging.read_newer(logs, wanted, after, limit)
            return paging.read_older(logs, wanted, before, limit)

    def find(self, wanted: EventId) -> Event | None:
        """Return an event by its id; None if it was erased or never written. Raises RecordError."""
        file = next((each for each in self.logs if each.name == wanted.log), None)
        if file is None:
            return None
        try:
            with self._readers:
                entry = file.find(wanted.number)
        except OSError as error:
            raise RecordError(f"{file.folder}: cannot be read: {error.strerror}") from error
        record = entry.parse() if entry else None
        if entry is None or record is None or not wanted.names(found := entry_id(entry)):
            return None
        return Event(found, record)

    def position(self) -> dict[str, EventId]:
        """Return the cursor after the newest records."""
        with self._lock:
            return self._position()

    @contextlib.contextmanager
    def register(self) -> Iterator[asyncio.Event]:
        """Return an event that is set when there are new records, for `follow`.

        Raises RecordError if there are too many subscribers.
        """
        changed, loop = asyncio.Event(), asyncio.get_running_loop()
        with self._lock:
            if len(self._waiters) >= SUBSCRIBERS_MAX:
                raise RecordError(f"expected at most {SUBSCRIBERS_MAX} subscribers; try again")
            self._waiters[changed] = loop
        try:
            yield changed
        finally:
            with self._lock:
                self._waiters.pop(changed, None)

    async def follow(
        self, cursor: Cursor, changed: asyncio.Event
    ) -> AsyncIterator[tuple[Event, str]]:
        """Yield each event after a cursor once, with the cursor after it, without end."""
        while True:
            changed.clear()
            events = self._recent_after(cursor)
            if events is None:
                page = await asyncio.to_thread(self.read_page, EventFilter(), BATCH, after=cursor)
                events = page.events
                cursor = cursor if events else parse_cursor(page.newer)
            for event in events:
                cursor = advance(cursor, [event.id])
                yield event, format_cursor(cursor)
            if not events:
                await changed.wait()

    @property
    def subscribers(self) -> int:
        return len(self._waiters)

    def _recent_after(self, cursor: Cursor) -> list[Event] | None:
        """Return the recent events after a cursor, None if it is older than they are."""
        with self._lock:
            for name in self._tails:
                base = self._base.get(name)
                if base is not None and _number(cursor.get(name)) < base.number:
                    return None
            newest = self._position()
            if any(not self._is_known(each, newest) for each in cursor.values()):
                return None
            return [e for e in self._recent if e.id.number > _number(cursor.get(e.log))]

    def _is_known(self, position: EventId, newest: Cursor) -> bool:
        """Return True if a position is certainly one of the present log."""
        ends = newest.get(position.log), self._base.get(position.log)
        return position in ends or any(position == event.id for event in reversed(self._recent))

    def _add_base(self, name: str, position: EventId | None) -> None:
        """Note where a log was found; subscribers read what it has already from its files."""
        self._base[name] = position or EventId(name, 0)
        self._wake()

    def _position(self) -> dict[str, EventId]:
        return {name: tail.position for name, tail in self._tails.items() if tail.position}

    def _follow(self) -> None:
        polls = 0
        while not self._stop.wait(_POLL_S):
            polls += 1
            if polls % LOGS_POLLS == 0:
                self._update_logs()
            self._poll()

    def _poll(self) -> None:
        """Read new records of each log and hand them on."""
        found: list[list[Event]] = []
        for name, tail in self._tails.items():
            known, events, error = tail.position, [], ""
            try:
                events = tail.poll()
            except OSError as failure:
                error = failure.strerror or str(failure)
                tail.close()
            with self._lock:
                self._status[name] = LogStatus(_number(tail.position), error)
                if events and events[0].id.number <= _number(known):
                    self._forget_recent()
                elif name not in self._base and tail.is_placed:
                    self._add_base(name, tail.position)
            found.append(events)
        if any(found):
            # Keeps the order within each log, also after a step of the clock.
            self._publish(list(heapq.merge(*found, key=lambda event: unix_time(event.record))))

    def _publish(self, events: Sequence[Event]) -> None:
        with self._lock:
            self._recent.extend(events)
            while len(self._recent) > RECENT_MAX:
                oldest = self._recent.popleft().id
                self._base[oldest.log] = oldest
            self._wake()
        for event in events:
            for observer in self._observers:
                try:
                    observer(event)
                except Exception:  # a fault in an observer must not end the feed
                    log.exception("%s: not observed; report it with this message", event.id)

    def _wake(self) -> None:
        for changed, loop in self._waiters.items():
            loop.call_soon_threadsafe(changed.set)

    def _forget_recent(self) -> None:
        """Drop the recent events after a log was started again: their numbers come again."""
        self._recent.clear()
        self._base = self._position()

    def _update_logs(self) -> None:
        """Follow logs that are new since the last search."""
        files, problem = self._find_logs()
        with self._lock:
            self._problem = problem
            for file in files:
                if file.name not in self._tails:
                    self._tails[file.name] = LogTail(file)


def _number(position: EventId | None) -> int:
    return position.number if position else 0
