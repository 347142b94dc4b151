"""Server-sent events: each new event once, resumed by `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from edge.console.api.models import CURSOR, EventAnswer, event_answer
from edge.console.api.queries import CursorText, FilterQuery, read_cursor
from edge.console.context import Console, console_of
from edge.console.permissions import require
from edge.console.problems import responses
from edge.console.records.cursor import CURSOR_MAX, Cursor, format_cursor
from edge.console.records.events import Event, EventFilter
from edge.console.records.feed import RecordFeed
from edge.console.roles import Permission, Principal
from edge.console.user_view import UserView

log = logging.getLogger(__name__)

router = APIRouter(tags=["events"])
MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
STREAM_MAX_S = 300.0  # then the client connects again: its login is checked again
STALL_S = 30.0  # without a client that reads
_RETRY_MS = 2000
_MESSAGE = {
    "type": "object",
    "description": "one message of the stream",
    "properties": {
        "id": {"type": "string", "description": "cursor after this event"},
        "event": {"const": "record"},
        "data": {"type": "string", "description": "an EventAnswer as JSON"},
    },
}

_Item = TypeVar("_Item")


class EventStream(StreamingResponse):
    """Stream that ends if its client stalls, so that its place is free for others."""

    async def stream_response(self, send: Send) -> None:
        """Send the stream until its end."""

        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), STALL_S)

        try:
            await super().stream_response(send_in_time)
        except asyncio.TimeoutError:
            log.info("a client of the event stream does not read; it is disconnected")


@router.get(
    "/stream",
    summary="Receive new events",
    response_class=StreamingResponse,
    responses={
        HTTPStatus.OK.value: {
            "description": "Server-sent events. `id` is a cursor; `data` is an EventAnswer as JSON "
            "with the event name `record`. The connection ends after some minutes: connect again "
            "with `Last-Event-ID`, as EventSource of browsers does.",
            "content": {
                MEDIA_TYPE: {
                    "schema": _MESSAGE,
                    "example": f'id: {CURSOR}\nevent: record\ndata: {{"id":"door:12:..."}}\n\n',
                }
            },
        },
        **responses(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def stream_events(
    principal: Annotated[Principal, require(Permission.READ_EVENTS)],
    selection: Annotated[FilterQuery, Depends()],
    after: CursorText = None,
    last_event_id: Annotated[
        str | None,
        Header(max_length=CURSOR_MAX, description="cursor of the last event that was received"),
    ] = None,
    console: Console = Depends(console_of),
) -> StreamingResponse:
    """Send events after `Last-Event-ID` or `after`; without either, events from now on."""
    view = UserView(principal)
    text = last_event_id if last_event_id is not None else after
    cursor = read_cursor(text) if text is not None else console.feed.position()
    events = _messages(console.feed, selection.selection(view), cursor, view)
    first = await anext(events)  # raises RecordError if there are too many clients
    return EventStream(_with_first(first, events), media_type=MEDIA_TYPE)


async def _with_first(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for text in rest:
        yield text


async def _messages(
    feed: RecordFeed, wanted: EventFilter, cursor: Cursor, view: UserView
) -> AsyncIterator[str]:
    """Yield the text of the stream."""
    ends_at = time.monotonic() + STREAM_MAX_S
    reached = format_cursor(cursor)
    with feed.register() as changed:
        yield f"retry: {_RETRY_MS}\nid: {reached}\n\n"
        events = feed.follow(cursor, changed)
        async for found in with_pauses(events, HEARTBEAT_S):
            if found is not None:
                event, reached = found
                if is_wanted(event, wanted):
                    yield format_message(event_answer(event, view), reached)
            else:
                yield f"id: {reached}\n\n"  # keeps the connection, and the place in the log
            if time.monotonic() >= ends_at:
                return


def is_wanted(event: Event, wanted: EventFilter) -> bool:
    """Return True if a filter selects an event."""
    wall = event.record.get("wall")
    is_in_time = wanted.times.is_open or (
        isinstance(wall, (int, float)) and wanted.times.has(float(wall))
    )
    return is_in_time and wanted.selects(event.log, event.record)


def format_message(answer: EventAnswer, cursor: str) -> str:
    """Return an event as a message of a stream."""
    return f"id: {cursor}\nevent: record\ndata: {answer.model_dump_json()}\n\n"


async def with_pauses(items: AsyncIterator[_Item], pause_s: float) -> AsyncIterator[_Item | None]:
    """Yield items, and None after each pause without one."""
    pending = asyncio.ensure_future(anext(items))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=pause_s)
            if not done:
                yield None
                continue
            yield pending.result()
            pending = asyncio.ensure_future(anext(items))
    finally:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
