"""Ids of events over all logs, and cursors: one position in each log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.audit.formatting import unix_time
from edge.audit.reader import record_id
from edge.errors import RecordError

START = "start"  # cursor before the first record of each log
CURSOR_MAX = 4096  # characters
_SECOND_MAX = 0xFFFFFFFF
_DIGITS = 8  # of the hash of a record
_EVENT_ID = re.compile(r"([A-Za-z0-9-]{1,80}):([0-9]{1,18})(?::([0-9a-f]{8})([0-9a-f]{8}))?")


@dataclass(frozen=True, slots=True)
class EventId:
    """Id of a record among all logs.

    Time and hash identify the record also after a log was started again with the numbers of the
    previous one. Both are empty in an id that names only a number.
    """

    log: str
    number: int
    second: int | None = None  # Unix time
    digest: str = ""  # first digits of the hash

    def __str__(self) -> str:
        check = f":{self.second:08x}{self.digest}" if self.second is not None else ""
        return f"{self.log}:{self.number}{check}"

    def names(self, other: EventId) -> bool:
        """Return True if this id, perhaps without time and hash, is that of a record."""
        is_number = (self.log, self.number) == (other.log, other.number)
        return is_number and (self.second is None or self == other)


Cursor = Mapping[str, EventId]  # position in each log, by its name


def event_id(log: str, record: Mapping[str, Any]) -> EventId:
    """Return the id of a record."""
    second = min(max(int(unix_time(record)), 0), _SECOND_MAX)
    digest = str(record.get("hash", ""))[:_DIGITS]
    return EventId(log, record_id(record), second, digest.rjust(_DIGITS, "0"))


def parse_event_id(text: str) -> EventId:
    """Parse an id. Raises RecordError."""
    found = _EVENT_ID.fullmatch(text)
    if found is None:
        raise RecordError(
            f"{text[:80]!r}: expected the id of an event such as door:12, or its full id"
        )
    log, number, second, digest = found.groups()
    return EventId(log, int(number), int(second, 16) if second else None, digest or "")


def parse_cursor(text: str) -> dict[str, EventId]:
    """Parse a cursor: ids separated by commas, or `start`. Raises RecordError."""
    if len(text) > CURSOR_MAX:
        raise RecordError(f"expected a cursor of at most {CURSOR_MAX} characters")
    if text in ("", START):
        return {}
    ids = [parse_event_id(part) for part in text.split(",")]
    found = {each.log: each for each in ids}
    if len(found) < len(ids):
        raise RecordError("expected a cursor with one id for each log")
    return found


def format_cursor(cursor: Cursor) -> str:
    """Return the text of a cursor."""
    return ",".join(str(cursor[log]) for log in sorted(cursor)) or START


def advance(cursor: Cursor, ids: Iterable[EventId]) -> dict[str, EventId]:
    """Return a cursor moved to later or earlier ids."""
    return {**cursor, **{each.log: each for each in ids}}
