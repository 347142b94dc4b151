"""Events of the console: a record with its id among all logs, and the selection of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.console.records.cursor import EventId
from edge.console.records.log_file import ALL_TIMES, Entry, TimeSpan
from edge.names import name_key

_NAME_FIELDS = ("subject", "other", "target")


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Record of an audit log."""

    id: EventId
    record: Mapping[str, Any]

    @property
    def log(self) -> str:
        return self.id.log


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Selection of events; an empty field selects all."""

    log: str = ""
    kind: str = ""  # kind, event or verdict
    verdict: str = ""
    reason: str = ""
    subject: str = ""
    lane: str = ""
    times: TimeSpan = ALL_TIMES
    shows: Callable[[str, Mapping[str, Any]], bool] = lambda _log, _record: True  # to the reader

    def may_select(self, entry: Entry) -> bool:
        """Return False for a line that cannot match; it need not be parsed then."""
        codes = (self.kind, self.verdict, self.reason, self.lane)
        return all(f'"{code}"'.encode() in entry.line for code in codes if code)

    def selects(self, log: str, record: Mapping[str, Any]) -> bool:
        """Return True for a record that matches; its time is checked by the log file."""
        kinds = (record.get("kind"), record.get("event"), record.get("verdict"))
        return (
            self.log in ("", log)
            and self.shows(log, record)
            and (not self.kind or self.kind in kinds)
            and all(
                not wanted or record.get(name) == wanted
                for name, wanted in (
                    ("verdict", self.verdict),
                    ("reason", self.reason),
                    ("lane", self.lane),
                )
            )
            and (not self.subject or self._has_subject(record))
        )

    def _has_subject(self, record: Mapping[str, Any]) -> bool:
        wanted = name_key(self.subject)
        names = (record.get(field) for field in _NAME_FIELDS)
        return any(isinstance(name, str) and name_key(name) == wanted for name in names)
