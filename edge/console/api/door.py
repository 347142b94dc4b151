"""State of the doors, and commands of operators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response

from edge.console.api.keys import IdempotencyKey, answer_response
from edge.console.api.models import CommandAnswer, CommandBody, DoorAnswer, DoorList, door_answer
from edge.console.commands import DoorCommand
from edge.console.context import Console, console_of
from edge.console.permissions import require
from edge.console.problem_error import ProblemError
from edge.console.problems import responses
from edge.console.roles import Permission, Principal
from edge.console.user_view import UserView

router = APIRouter(tags=["door"])
_DoorName = Annotated[str, Path(max_length=32, description="name of the door", examples=["main"])]
_Reader = Annotated[Principal, require(Permission.READ_DOOR)]


def _check_door(console: Console, door: str) -> None:
    if door not in (names := console.doors.names):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"{door}: no such door; known: {', '.join(names)}")


@router.get("/doors", summary="List doors", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def list_doors(principal: _Reader, console: Console = Depends(console_of)) -> DoorList:
    """Return the state of all doors; it is at most a second old."""
    view = UserView(principal)
    return DoorList(
        doors=[
            door_answer(name, await console.doors.status(name), view)
            for name in console.doors.names
        ]
    )


@router.get(
    "/doors/{door}",
    summary="Read the state of a door",
    responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def read_door(
    principal: _Reader, door: _DoorName, console: Console = Depends(console_of)
) -> DoorAnswer:
    """Return the state of a door; it is at most a second old."""
    _check_door(console, door)
    return door_answer(door, await console.doors.status(door), UserView(principal))


@router.post(
    "/doors/{door}/commands",
    summary="Send a command to a door",
    responses={
        HTTPStatus.OK.value: {"model": CommandAnswer, "description": "The command was executed."},
        **responses(
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
async def send_command(
    principal: Annotated[Principal, require(Permission.CONTROL_DOOR)],
    door: _DoorName,
    body: CommandBody,
    idempotency_key: IdempotencyKey,
    console: Console = Depends(console_of),
) -> Response:
    """Execute a command once. The door records it with the user and the reason."""
    _check_door(console, door)
    command = DoorCommand(door, body.command, body.reason, body.argument)
    answer, is_repeated = await console.commands.execute(
        command, principal.name, idempotency_key, console.accounts.wall()
    )
    return answer_response(answer, is_repeated=is_repeated)
