"""Events of all audit logs."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from edge.console.api.models import EVENT_ID, EventAnswer, EventPage, event_answer, page_answer
from edge.console.api.queries import LIMIT_MAX, CursorText, FilterQuery, read_cursor
from edge.console.context import Console, console_of
from edge.console.permissions import require
from edge.console.problem_error import ProblemError
from edge.console.problems import responses
from edge.console.records.cursor import parse_event_id
from edge.console.roles import Permission, Principal
from edge.console.user_view import UserView
from edge.errors import RecordError

router = APIRouter(tags=["events"])
_Reader = Annotated[Principal, require(Permission.READ_EVENTS)]


@router.get(
    "/events",
    summary="List events",
    responses=responses(HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def list_events(
    principal: _Reader,
    selection: Annotated[FilterQuery, Depends()],
    before: CursorText = None,
    after: CursorText = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX, description="events of a page")] = 50,
    console: Console = Depends(console_of),
) -> EventPage:
    """Return the newest events first, or those before a cursor, or oldest first after a cursor."""
    if before is not None and after is not None:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "expected `before` or `after`, found both"
        )
    view = UserView(principal)
    wanted = selection.selection(view)
    try:
        page = await asyncio.to_thread(
            console.feed.read_page,
            wanted,
            limit,
            before=read_cursor(before) if before is not None else None,
            after=read_cursor(after) if after is not None else None,
        )
    except RecordError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    return page_answer(page, view)


@router.get(
    "/events/{event}",
    summary="Read one event",
    responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def read_event(
    principal: _Reader,
    event: Annotated[
        str, Path(max_length=128, description="id, or log and number", examples=[EVENT_ID])
    ],
    console: Console = Depends(console_of),
) -> EventAnswer:
    """Return an event by its id. `door:12` names a record by its number."""
    try:
        wanted = parse_event_id(event)
    except RecordError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    view = UserView(principal)
    found = await asyncio.to_thread(console.feed.find, wanted)
    if found is None or not view.shows(found.log, found.record):
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            f"{event}: no such event; it may be older than `record.delete_after_days`",
        )
    return event_answer(found, view)
