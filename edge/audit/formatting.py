"""Records as text: table lines for people, JSON lines and CSV for programs."""

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
    "time", "record", "id", "what", "reason", "subject", "operator", "note", "score", "threshold",
    "votes", "liveness", "decision", "outcome", "grant_id", "frame", "model", "engine", "lost",
    "erased", "other", "hash", "user",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WALL_MAX = 1e12


def utc_time(record: Mapping[str, Any]) -> str:
    """Return the time of a record in UTC, `?` if its time is not valid."""
    try:
        return datetime.fromtimestamp(record["wall"], timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return "?"


def unix_time(record: Mapping[str, Any]) -> float:
    """Return the Unix seconds of a record, 0 if its time is not valid."""
    wall = record.get("wall")
    return float(wall) if isinstance(wall, (int, float)) and abs(wall) < _WALL_MAX else 0.0


def trusted_time(record: Mapping[str, Any]) -> float:
    """Return the Unix seconds that had certainly been reached, not those of an untrusted clock."""
    return unix_time({"wall": record.get("latest_believed", record.get("wall"))})


def event_name(record: Mapping[str, Any]) -> str:
    """Return the verdict of a decision, else the event or the kind."""
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
    return _table_row("time", "record", "id", "what", "reason", "who", "liveness", "details")


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
    doubt = "(clock not trusted)" if "latest_believed" in record else ""
    details = f"{words} {rest} {doubt}".strip()
    when = local_time(record, zone)
    return _plain(
        _table_row(
            when, name, number, event_name(record), reason, who, liveness_text(record), details
        )
    )


def _table_row(
    when: str, name: str, number: str, what: str, reason: str, who: str, liveness: str, details: str
) -> str:
    first = f"{when:25}  {name:9} {number:>7}  {what:18} {reason:20}"
    return f"{first} {who:20} {liveness:12} {details}".rstrip()


def csv_cells(name: str, record: Mapping[str, Any]) -> list[str]:
    """Return the cells of `COLUMNS`. A text that looks like a formula is marked as text."""
    known = {**record, "time": utc_time(record), "record": name, "what": event_name(record)}
    return [_safe(_cell(known.get(column, ""))) for column in COLUMNS]


def export_lines(
    name: str, found: Iterable[Mapping[str, Any]], form: str
) -> Iterator[tuple[str, int]]:
    """Yield JSON lines or CSV rows with the id of their record; the CSV heading has 0."""
    if form == "csv":
        yield _csv_row(COLUMNS), 0
    for record in found:
        is_csv = form == "csv"
        text = _csv_row(csv_cells(name, record)) if is_csv else _json_line(name, record)
        yield text, record_id(record)


def _json_line(name: str, record: Mapping[str, Any]) -> str:
    return json.dumps({"record": name, **record}) + "\n"


def _csv_row(values: Iterable[str]) -> str:
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
    """Escape line breaks and control characters."""
    if is_printable(text):
        return text
    return "".join(c if is_printable(c) else c.encode("unicode_escape").decode() for c in text)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
