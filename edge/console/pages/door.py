"""Doors: state, and commands with confirmation and reason."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from edge.codes import sentence_of
from edge.console.commands import NAMES, DoorCommand
from edge.console.context import Console, console_of
from edge.console.idempotency import KEY_MAX
from edge.console.permissions import require
from edge.console.problem_error import ProblemError
from edge.console.rendering import render
from edge.console.roles import Permission, Principal
from edge.console.translation import mark
from edge.console.user_view import UserView
from edge.door.clock_trust import TRUST_CLOCK, describe_doubt
from edge.door.commands import DOOR_COMMANDS, TARGET_COMMANDS, AccessCommand
from edge.door.controller import OperatorCommand
from edge.door.events import DoorAlarm, LockReason
from edge.door.protocol import check_reason
from edge.errors import DoorError
from edge.system.wallclock import ClockDoubt

router = APIRouter()
Shared = Annotated[Console, Depends(console_of)]
DoorReader = Annotated[Principal, require(Permission.READ_DOOR)]
DoorOperator = Annotated[Principal, require(Permission.CONTROL_DOOR)]

# Buttons in their order: title, class.
_BUTTONS = {
    OperatorCommand.UNLOCK.value: (mark("Unlock once"), "primary"),
    OperatorCommand.HOLD.value: (mark("Hold open"), ""),
    OperatorCommand.RELEASE.value: (mark("Release"), ""),
    OperatorCommand.LOCKDOWN.value: (mark("Lockdown"), "danger"),
    OperatorCommand.RESET_FIRE.value: (mark("Reset fire"), ""),
    OperatorCommand.RESET_TAMPER.value: (mark("Reset tamper"), ""),
    OperatorCommand.RESET_DURESS.value: (mark("Reset duress"), ""),
    AccessCommand.RESET_ANTI_PASSBACK.value: (mark("Reset anti-passback"), ""),
    AccessCommand.RESET_LOCKOUT.value: (mark("Reset lockout"), ""),
    AccessCommand.RESET_USES.value: (mark("Reset visits"), ""),
    AccessCommand.SET_ZONE.value: (mark("Set zone"), ""),
    TRUST_CLOCK: (mark("Trust clock"), ""),
}


@router.get("/door")
async def show_doors(request: Request, principal: DoorReader, console: Shared) -> Response:
    """Show the first door."""
    return await show_door(request, principal, console, console.doors.names[0])


@router.get("/door/{door}")
async def show_door(
    request: Request,
    principal: DoorReader,
    console: Shared,
    door: str,
    done: Annotated[str, Query(max_length=32)] = "",
    warning: Annotated[str, Query(max_length=256)] = "",
) -> Response:
    """Show a door with its commands."""
    _check_door(console, door)
    return render(
        request,
        "door.html",
        principal,
        door=door,
        doors=console.doors.names,
        buttons=_BUTTONS,
        may_command=principal.has(Permission.CONTROL_DOOR),
        done=_BUTTONS[done][0] if done in _BUTTONS else "",
        warning=warning,
        **await _status_fields(principal, console, door),
    )


@router.get("/door/{door}/state")
async def show_state(
    request: Request, principal: DoorReader, console: Shared, door: str
) -> Response:
    """Return the state of a door, for an update of its page."""
    _check_door(console, door)
    fields = await _status_fields(principal, console, door)
    return render(request, "door_state.html", principal, door=door, **fields)


@router.get("/door/{door}/{command}")
async def ask_command(
    request: Request, principal: DoorOperator, console: Shared, door: str, command: str
) -> Response:
    """Ask for confirmation and reason of a command."""
    _check_door(console, door)
    return await _command_page(request, principal, console, DoorCommand(door, command, ""))


@router.post("/door/{door}/{command}")
async def send_command(
    request: Request,
    principal: DoorOperator,
    console: Shared,
    door: str,
    command: str,
    reason: Annotated[str, Form(max_length=256)] = "",
    argument: Annotated[str, Form(max_length=256)] = "",
    key: Annotated[str, Form(min_length=1, max_length=KEY_MAX)] = "",
) -> Response:
    """Send a command to a door, once for each form."""
    _check_door(console, door)
    sent = DoorCommand(door, command, reason.strip(), argument.strip())
    if command not in NAMES:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"{command}: no such command")
    try:
        check_reason(sent.reason)
        now = console.accounts.wall()
        answer, _ = await console.commands.execute(sent, principal.name, key, now)
    except (DoorError, ProblemError) as error:
        return await _command_page(request, principal, console, sent, str(error))
    if answer.status != HTTPStatus.OK:
        detail = str(answer.body["detail"])
        return await _command_page(request, principal, console, sent, detail)
    more = f"&warning={quote(answer.body['warning'])}" if answer.body["warning"] else ""
    return RedirectResponse(f"/door/{quote(door)}?done={command}{more}", HTTPStatus.SEE_OTHER)


async def _command_page(
    request: Request, principal: Principal, console: Console, sent: DoorCommand, error: str = ""
) -> Response:
    if sent.command not in NAMES:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"{sent.command}: no such command")
    status = await console.doors.status(sent.door)
    access = status.fields.get("access") or {}
    names = list(access.get("zones", {})) if sent.command == AccessCommand.SET_ZONE else []
    if sent.command == AccessCommand.RESET_LOCKOUT:
        names = [*access.get("readers", {}), *access.get("lockouts", {})]
    return render(
        request,
        "door_command.html",
        principal,
        status=HTTPStatus.CONFLICT if error else HTTPStatus.OK,
        sent=sent,
        title=_BUTTONS[sent.command][0],
        text=DOOR_COMMANDS.get(sent.command) or TARGET_COMMANDS[sent.command],
        tone=_BUTTONS[sent.command][1],
        has_argument=sent.command in TARGET_COMMANDS,
        is_zone=sent.command == AccessCommand.SET_ZONE,
        names=sorted(set(names)),
        key=secrets.token_urlsafe(16),
        error=error,
    )


async def _status_fields(principal: Principal, console: Console, door: str) -> dict[str, Any]:
    """Return the state of a door in words."""
    report = await console.doors.status(door)
    status = UserView(principal).status(report.fields)
    doubt = status["clock"]["doubt"] if status else ""
    say = console.language.gettext
    return {
        "report": report,
        "state": status,
        "reason": say(sentence_of(LockReason, status["reason"])) if status else "",
        "alarms": {each: say(sentence_of(DoorAlarm, each)) for each in status.get("alarms", ())},
        "doubt": describe_doubt(ClockDoubt(doubt)) if doubt else "",
        "access": status.get("access"),
    }


def _check_door(console: Console, door: str) -> None:
    if door not in console.doors.names:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"{door[:32]}: no such door")
