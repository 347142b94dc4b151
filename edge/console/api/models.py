"""Answers and requests of the API."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from edge.audit.formatting import event_name, unix_time
from edge.audit.reader import REDACTED
from edge.console.commands import NAMES
from edge.console.door_control import DoorReport
from edge.console.records.events import Event
from edge.console.records.feed import LogStatus
from edge.console.records.paging import Page
from edge.console.records.sentences import describe, in_english
from edge.console.user_view import UserView
from edge.door.protocol import check_reason
from edge.errors import DoorError

EVENT_ID = "door:12:6b49d2005f2e41aa"
CURSOR = f"decisions:57:6b49d1ff0c7a9e13,{EVENT_ID}"


class EventAnswer(BaseModel):
    """Record of an audit log."""

    id: str = Field(description="id among all logs, never used twice", examples=[EVENT_ID])
    log: str = Field(description="name of the log", examples=["door"])
    number: int = Field(description="number in the log", examples=[12])
    time: datetime = Field(description="time in UTC", examples=["2027-01-15T08:00:00.250Z"])
    is_clock_trusted: bool = Field(description="false: the time may be wrong")
    what: str = Field(description="verdict, event or kind, see codes.md", examples=["unlocked"])
    reason: str | None = Field(description="code of the reason", examples=["pulse"])
    sentence: str = Field(
        description="what happened and why, in English",
        examples=["The lock was released: access was granted"],
    )
    subject: str | None = Field(description="person, if known and not erased", examples=["Ada"])
    is_erased: bool = Field(description="the personal fields were erased")
    is_redacted: bool = Field(description="scores and votes are sealed; the console lacks the key")
    fields: dict[str, Any] = Field(
        description="all fields of the record, see audit.md",
        examples=[{"id": 12, "event": "unlocked", "reason": "pulse", "lock": "unlocked"}],
    )


class EventPage(BaseModel):
    """Events and the cursors around them."""

    events: list[EventAnswer]
    older: str | None = Field(
        description="value of `before` for older events; null: there are none", examples=[CURSOR]
    )
    newer: str = Field(
        description="value of `after` for newer events, also of those to come", examples=[CURSOR]
    )
    is_partial: bool = Field(
        description="the limit of the search was reached before the page was full; continue with "
        "the cursor"
    )
    unreadable: dict[str, str] = Field(
        description="logs that could not be read, with the reason", examples=[{}]
    )


class DoorAnswer(BaseModel):
    """State of a door."""

    name: str = Field(description="name of the door", examples=["main"])
    is_available: bool = Field(description="the door process answers")
    error: str | None = Field(description="why it does not answer", examples=[None])
    may_command: bool = Field(description="the console's account is in `door.operators`")
    status: dict[str, Any] = Field(
        description="as `edge-door status`; empty if the door does not answer",
        examples=[{"state": "locked", "reason": "normal", "alarms": [], "inputs": {"fire": False}}],
    )


class DoorList(BaseModel):
    """All doors of the terminal."""

    doors: list[DoorAnswer]


class CommandBody(BaseModel):
    """Command for a door."""

    model_config = ConfigDict(extra="forbid")

    command: Literal[NAMES] = Field(  # type: ignore[valid-type]
        description="command of edge-door, see commands.md", examples=["unlock"]
    )
    reason: str = Field(
        min_length=1,
        max_length=256,
        description="why, for the audit log; printable characters",
        examples=["delivery at the gate"],
    )
    argument: str = Field(
        "",
        max_length=256,
        description="person or reader of a reset; ZONE=PEOPLE of set-zone; empty: all, or none",
        examples=[""],
    )

    @field_validator("reason")
    @classmethod
    def _is_recordable(cls, text: str) -> str:
        try:
            check_reason(text)
        except DoorError as error:
            raise ValueError(str(error)) from error
        return text


class CommandAnswer(BaseModel):
    """Result of a command that was executed."""

    command: str = Field(examples=["unlock"])
    warning: str | None = Field(
        description="set if the new state is not on disk yet", examples=[None]
    )


class LogAnswer(BaseModel):
    """Audit log as the console sees it."""

    name: str = Field(examples=["door"])
    newest: int = Field(description="number of the newest record, 0 without one", examples=[12])
    error: str | None = Field(description="why it cannot be read", examples=[None])


class HealthAnswer(BaseModel):
    """State of the parts that the console sees."""

    terminal: str = Field(examples=["lobby-1"])
    is_ready: bool = Field(description="all doors answer and all logs are readable")
    doors: list[DoorAnswer]
    logs: list[LogAnswer]
    problem: str | None = Field(description="why not all logs are known", examples=[None])
    camera: str | None = Field(
        description="ready, lost or enrollment; null: the recogniser does not answer",
        examples=["ready"],
    )


def event_answer(event: Event, view: UserView) -> EventAnswer:
    """Return an event as the user may read it."""
    record = view.record(event)
    reason, subject = record.get("reason"), record.get("subject")
    return EventAnswer(
        id=str(event.id),
        log=event.log,
        number=event.id.number,
        time=datetime.fromtimestamp(max(0.0, unix_time(record)), timezone.utc),
        is_clock_trusted="latest_believed" not in record,
        what=event_name(record),
        reason=reason if isinstance(reason, str) else None,
        sentence=describe(record, in_english),
        subject=subject if isinstance(subject, str) else None,
        is_erased=bool(record.get("erased")),
        is_redacted=record.get("sealed") == REDACTED,
        fields=dict(record),
    )


def page_answer(page: Page, view: UserView) -> EventPage:
    """Return a page of events."""
    return EventPage(
        events=[event_answer(event, view) for event in page.events],
        older=page.older,
        newer=page.newer,
        is_partial=page.is_partial,
        unreadable=dict(page.unreadable),
    )


def door_answer(name: str, status: DoorReport, view: UserView) -> DoorAnswer:
    """Return the state of a door."""
    return DoorAnswer(
        name=name,
        is_available=not status.error,
        error=status.error or None,
        may_command=status.is_operator,
        status=dict(view.status(status.fields)),
    )


def log_answers(logs: dict[str, LogStatus]) -> list[LogAnswer]:
    """Return the state of the logs."""
    return [
        LogAnswer(name=name, newest=log.newest, error=log.error or None)
        for name, log in logs.items()
    ]
