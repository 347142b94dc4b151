"""Evidence picture of a decision: face and attention, decrypted by edge-people."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import Response

from edge.console.context import Console, console_of
from edge.console.people_actions import PeopleActions
from edge.console.permissions import require
from edge.console.problem_error import ProblemError
from edge.console.records.cursor import parse_event_id
from edge.console.roles import Permission, Principal
from edge.errors import RecordError

router = APIRouter()


@router.get("/events/{event}/picture")
async def show_picture(
    request: Request,
    principal: Annotated[Principal, require(Permission.VIEW_PICTURES)],
    event: Annotated[str, Path(max_length=128)],
    console: Console = Depends(console_of),
) -> Response:
    """Return the evidence picture of a decision (PNG); the request is recorded with its user."""
    try:
        found = await asyncio.to_thread(console.feed.find, parse_event_id(event))
    except RecordError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    if found is None or "verdict" not in found.record:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"{event}: no such decision")
    try:
        actions = PeopleActions.of(request, console, principal)
        picture = await actions.picture(found.log, found.id.number)
    except ProblemError as error:
        raise HTTPException(error.status, error.detail) from error
    return Response(picture, media_type="image/png")
