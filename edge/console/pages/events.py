"""Events of all audit logs: list with filters, new events as they come, one event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import Response

from edge.audit.formatting import event_name, unix_time
from edge.audit.reader import REDACTED
from edge.audit.record_fields import FIELDS
from edge.console.context import Console, console_of
from edge.console.permissions import require
from edge.console.records.cursor import CURSOR_MAX, parse_cursor, parse_event_id
from edge.console.records.events import Event, EventFilter
from edge.console.records.log_file import TimeSpan
from edge.console.records.sentences import KNOWN_KINDS, describe, reason_sentence
from edge.console.rendering import render
from edge.console.roles import Permission, Principal
from edge.console.user_view import UserView
from edge.door.events import DoorEventCode
from edge.errors import RecordError
from edge.values import Verdict

router = APIRouter()
LIMIT = 50
_PICTURES = Permission.VIEW_PICTURES
_NEW_MAX = 100  # events that one update of the page shows
_GOOD = frozenset({Verdict.GRANT.value, "unlocked", DoorEventCode.GRANTED.value})
_BAD = frozenset(
    {"alarm", "fire", "tamper", "duress", "lockdown", "failed", "gap", "people-invalid"}
)
_WARN = frozenset({"refused", "unknown", "card-pin-refused", "lockout", "tailgating"})
_MEANINGS = {field.name: field.meaning for field in FIELDS}

Shared = Annotated[Console, Depends(console_of)]
EventReader = Annotated[Principal, require(Permission.READ_EVENTS)]
_Text = Annotated[str, Query(max_length=128)]
_CursorText = Annotated[str, Query(max_length=CURSOR_MAX)]


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Filters of the page; a FastAPI dependency."""

    log: _Text = ""
    kind: _Text = ""
    reason: _Text = ""
    subject: _Text = ""
    lane: _Text = ""
    since: _Text = ""  # local time of the terminal
    until: _Text = ""

    def fields(self) -> dict[str, str]:
        """Return the filters that are set."""
        names = ("log", "kind", "reason", "subject", "lane", "since", "until")
        return {name: value for name in names if (value := getattr(self, name).strip())}

    def selection(self, view: UserView, zone: tzinfo) -> EventFilter:
        """Return the filter. Raises RecordError for a time that is not valid."""
        found = self.fields()
        times = TimeSpan(
            *(_parse_time(found.pop(name), zone) if name in found else None for name in _TIMES)
        )
        return EventFilter(**found, times=times, shows=view.shows)


_TIMES = ("since", "until")


def _parse_time(text: str, zone: tzinfo) -> float:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError) as error:
        raise RecordError(f"expected a time such as 2027-01-15T08:00, found {text!r}") from error


@dataclass(frozen=True, slots=True)
class EventRow:
    """Event in the list."""

    id: str
    time: str
    log: str
    what: str
    tone: str  # class of its badge
    sentence: str
    who: str
    is_clock_trusted: bool


def event_row(event: Event, view: UserView, console: Console) -> EventRow:
    """Return an event as a row."""
    record = view.record(event)
    what = event_name(record)
    by = record.get("subject") or record.get("user") or record.get("operator") or ""
    return EventRow(
        id=str(event.id),
        time=_local_time(record, console),
        log=event.log,
        what=what,
        tone=_tone(what),
        sentence=describe(record, console.language.gettext),
        who=str(by) or ("(erased)" if record.get("erased") else ""),
        is_clock_trusted="latest_believed" not in record,
    )


def _tone(what: str) -> str:
    tones = {"good": _GOOD, "bad": _BAD, "warn": _WARN}
    return next((tone for tone, names in tones.items() if what in names), "")


def _local_time(record: Mapping[str, Any], console: Console) -> str:
    zone = console.config.door.schedule.zone
    try:
        return console.language.moment(datetime.fromtimestamp(unix_time(record), zone))
    except (ValueError, OverflowError, OSError):
        return "?"


@router.get("/events")
async def show_events(
    request: Request,
    principal: EventReader,
    console: Shared,
    query: Annotated[EventQuery, Depends()],
    before: _CursorText = "",
    paused: bool = False,
) -> Response:
    """Show the newest events, or those before a cursor."""
    view, error, page = UserView(principal), "", None
    try:
        wanted = query.selection(view, console.config.door.schedule.zone)
        cursor = parse_cursor(before) if before else None
        page = await asyncio.to_thread(console.feed.read_page, wanted, LIMIT, before=cursor)
    except RecordError as failure:
        error = str(failure)
    fields = query.fields()
    is_live = page is not None and not before and not paused
    return render(
        request,
        "events.html",
        principal,
        status=422 if error else 200,
        rows=[event_row(event, view, console) for event in page.events] if page else [],
        query=query,
        filters=fields,
        logs=sorted(log.name for log in console.feed.logs),
        kinds=KNOWN_KINDS,
        newer=_link("/events/newer", fields, after=page.newer) if page and is_live else "",
        older=_link("/events", fields, before=page.older) if page and page.older else "",
        pause=_link("/events", fields, paused="true") if is_live else "",
        newest=_link("/events", fields) if before or paused else "",
        page=page,
        error=error,
    )


@router.get("/events/newer")
async def show_newer(
    request: Request,
    principal: EventReader,
    console: Shared,
    query: Annotated[EventQuery, Depends()],
    after: _CursorText,
) -> Response:
    """Return the rows of events after a cursor, newest first, for the top of the list."""
    view = UserView(principal)
    wanted = query.selection(view, console.config.door.schedule.zone)
    cursor = parse_cursor(after)
    page = await asyncio.to_thread(console.feed.read_page, wanted, _NEW_MAX, after=cursor)
    rows = [event_row(event, view, console) for event in reversed(page.events)]
    newer = _link("/events/newer", query.fields(), after=page.newer)
    return render(request, "event_rows.html", principal, rows=rows, newer=newer)


@router.get("/events/{event}")
async def show_event(
    request: Request, principal: EventReader, console: Shared, event: str
) -> Response:
    """Show all fields of an event."""
    view = UserView(principal)
    try:
        found = await asyncio.to_thread(console.feed.find, parse_event_id(event[:128]))
    except RecordError as error:
        raise HTTPException(422, str(error)) from error
    if found is None or not view.shows(found.log, found.record):
        raise HTTPException(404, f"{event[:128]}: no such event")
    record = view.record(found)
    return render(
        request,
        "event.html",
        principal,
        row=event_row(found, view, console),
        number=found.id.number,
        reason=reason_sentence(record, console.language.gettext),
        facts=[
            (name, _MEANINGS.get(name, ""), _text(value))
            for name, value in record.items()
            if name not in ("sealed", "erased")
        ],
        is_redacted=record.get("sealed") == REDACTED,
        is_erased=bool(record.get("erased")),
        related=_related(found),
        picture=_picture(found, principal, console),
    )


def _picture(event: Event, principal: Principal, console: Console) -> str:
    """Return the path of the evidence picture of a decision, empty if none can be shown."""
    is_kept = "verdict" in event.record and console.config.record.max_pictures > 0
    return f"/events/{event.id}/picture" if is_kept and principal.has(_PICTURES) else ""


def _related(event: Event) -> str:
    """Return the path of the decision that an event belongs to, empty if there is none."""
    instance = event.log.partition("-")[2]
    number = event.record.get("decision")
    if isinstance(number, int) and number > 0 and event.log.startswith("decisions"):
        return f"/events/{event.log}:{number}"
    number = event.record.get("record_id")
    if isinstance(number, int) and number > 0 and not instance:
        return f"/events/decisions:{number}"
    return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _link(path: str, fields: Mapping[str, str], **more: str) -> str:
    query = urlencode({**fields, **more}, quote_via=quote)
    return f"{path}?{query}" if query else path
