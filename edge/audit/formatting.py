"""Records as rows: a line for people, cells for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone, tzinfo
from typing import Any

from edge.audit.reader import record_id
from edge.audit.record_fields import NOT_IN_DETAILS
from edge.names import is_printable

COLUMNS = (
    "time", "record", "id", "what", "reason", "subject", "operator", "note", "score", "threshold", "votes", "liveness",
    "decision", "outcome", "grant_id", "frame", "model", "engine", "lost", "erased", "other", "hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WALL_MAX = 1e12


def utc_time(record: Mapping[str, Any]) -> str:
    """Of the clock on the wall, in UTC."""
    try:
        return datetime.fromtimestamp(record["wall"], timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return "?"


def unix_time(record: Mapping[str, Any]) -> float:
    """Unix seconds to put it in order by; 0 where it has none that a clock can show."""
    wall = record.get("wall")
    return float(wall) if isinstance(wall, (int, float)) and abs(wall) < _WALL_MAX else 0.0


def trusted_time(record: Mapping[str, Any]) -> float:
    """Return the Unix seconds that had certainly been reached, not those of a clock in doubt."""
    return unix_time({"wall": record.get("latest_believed", record.get("wall"))})


def event_name(record: Mapping[str, Any]) -> str:
    """In one word: the verdict of a decision, else the event or the kind."""
    return str(record.get("verdict") or record.get("event") or record.get("kind") or "?")


def local_time(record: Mapping[str, Any], zone: tzinfo) -> str:
    """Return the local time of a record with its UTC offset, `?` if its time is not valid."""
    try:
        return datetime.fromtimestamp(record["wall"], zone).isoformat(" ", timespec="seconds")
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return "?"


def liveness_text(record: Mapping[str, Any]) -> str:
    """Return the states of the liveness layers in words, such as `alive` or `screen spoof`."""
    found = record.get("liveness", "")
    if not isinstance(found, Mapping):
        return str(found)
    states = set(found.values())
    if len(states) == 1:
        return str(*states)
    return " ".join(f"{layer} {state}" for layer, state in found.items())


def table_heading() -> str:
    """Return the first line of the table."""
    return _row_of("time", "record", "id", "what", "reason", "who", "liveness", "details")


def table_line(name: str, record: Mapping[str, Any], zone: tzinfo) -> str:
    """Return one line of the table."""
    who = str(
        record.get("subject")
        or record.get("operator")
        or ("(erased)" if record.get("erased") else "")
    )
    rest = ", ".join(
        f"{key} {_short(value)}"
        for key, value in record.items()
        if key not in NOT_IN_DETAILS and value not in (None, "", [])
    )
    words = f'"{record["note"]}"' if record.get("note") else ""
    number, reason = str(record.get("id", "?")), str(record.get("reason", ""))
    doubt = "(clock in doubt)" if "latest_believed" in record else ""
    details = f"{words} {rest} {doubt}".strip()
    when = local_time(record, zone)
    return _plain(
        _row_of(when, name, number, event_name(record), reason, who, liveness_text(record), details)
    )


def _row_of(
    when: str, name: str, number: str, what: str, reason: str, who: str, liveness: str, details: str
) -> str:
    first = f"{when:25}  {name:9} {number:>7}  {what:14} {reason:20}"
    return f"{first} {who:20} {liveness:12} {details}".rstrip()


def csv_cells(name: str, record: Mapping[str, Any]) -> list[str]:
    """By `COLUMNS`. Text that a spreadsheet would take for a formula is marked as text."""
    known = {**record, "time": utc_time(record), "record": name, "what": event_name(record)}
    return [_safe(_cell(known.get(column, ""))) for column in COLUMNS]


def export_lines(
    name: str, found: Iterable[Mapping[str, Any]], form: str
) -> Iterator[tuple[str, int]]:
    """JSON lines or CSV, each with the number that it goes up to; the heading of a table has 0."""
    if form == "csv":
        yield _row(COLUMNS), 0
    for record in found:
        text = (
            _row(csv_cells(name, record))
            if form == "csv"
            else json.dumps({"record": name, **record}) + "\n"
        )
        yield text, record_id(record)


def _row(values: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _plain(text: str) -> str:
    """Without what would begin another row or tell a terminal what to do."""
    return (
        text
        if is_printable(text)
        else "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)
    )


def _short(value: Any) -> str:
    return (
        f"{value:g}"
        if isinstance(value, float)
        else value
        if isinstance(value, str)
        else json.dumps(value)
    )
