"""Records in the audit log of a console."""

from __future__ import annotations

from typing import Any

from edge.audit.reader import read_log
from edge.console.context import Console
from tests.processes import until


def events_of(console: Console) -> list[str]:
    """Return the events in the log, in order."""
    return [record["event"] for record in records_of(console)]


def records_of(console: Console) -> list[dict[str, Any]]:
    """Return the records of actions in the log."""
    return [each for each in read_log(console.config.console_record_path) if "event" in each]


def wait_for_event(console: Console, event: str) -> dict[str, Any]:
    """Wait until the log has an event; return its newest record."""
    until(lambda: event in events_of(console), event)
    return next(each for each in reversed(records_of(console)) if each["event"] == event)
