"""People: list, rights and removal, by requests to edge-people."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from edge.console.context import Console, console_of
from edge.console.people_actions import PeopleActions
from edge.console.people_control import is_found
from edge.console.permissions import require
from edge.console.person_form import MODES, changed_rights
from edge.console.problem_error import ProblemError
from edge.console.rendering import render
from edge.console.roles import Permission, Principal
from edge.names import NAME_MAX
from edge.people_protocol import (
    TEXT_MAX,
    RightsBody,
)

router = APIRouter()

PAGE_ROWS = 200
Shared = Annotated[Console, Depends(console_of)]
Reader = Annotated[Principal, require(Permission.READ_PEOPLE)]
Editor = Annotated[Principal, require(Permission.EDIT_PEOPLE)]
Name = Annotated[str, Form(max_length=NAME_MAX)]
Reason = Annotated[str, Form(max_length=TEXT_MAX)]


@router.get("/people")
async def show_people(
    request: Request,
    console: Shared,
    principal: Reader,
    search: Annotated[str, Query(max_length=NAME_MAX)] = "",
    done: Annotated[str, Query(max_length=NAME_MAX)] = "",
) -> Response:
    """Show the people whose name or group contains a text."""
    people = await console.people.list_people(principal.name)
    found = [person for person in people if is_found(person, search)]
    return render(
        request,
        "people.html",
        principal,
        people=found[:PAGE_ROWS],
        found=len(found),
        total=len(people),
        search=search,
        done=done,
        modes=MODES,
        may_edit=principal.has(Permission.EDIT_PEOPLE),
    )


@router.get("/people/person")
async def show_person(
    request: Request,
    console: Shared,
    principal: Reader,
    name: Annotated[str, Query(max_length=NAME_MAX)],
) -> Response:
    """Show a person with the forms to change rights and to erase."""
    return await _person_page(request, console, principal, name)


@router.post("/people/rights")
async def set_rights(
    request: Request, console: Shared, principal: Editor, name: Name, reason: Reason
) -> Response:
    """Change the rights of a person."""
    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    try:
        person = await console.people.find(principal.name, name)
        if person is None:
            raise ProblemError(HTTPStatus.NOT_FOUND, f"{name}: not enrolled")
        rights = changed_rights(form, person.rights)
        await PeopleActions.of(request, console, principal).set_rights(name, reason, rights)
    except ProblemError as error:
        return await _person_page(request, console, principal, name, error)
    return RedirectResponse(f"/people?{urlencode({'done': name})}", HTTPStatus.SEE_OTHER)


@router.post("/people/remove")
async def remove_person(
    request: Request,
    console: Shared,
    principal: Editor,
    name: Name,
    reason: Reason,
    confirmed: Annotated[bool, Form()] = False,
) -> Response:
    """Erase a person from gallery and door."""
    try:
        if not confirmed:
            raise ProblemError(HTTPStatus.CONFLICT, "confirm that the person is to be erased")
        await PeopleActions.of(request, console, principal).remove(name, reason)
    except ProblemError as error:
        return await _person_page(request, console, principal, name, error)
    return RedirectResponse("/people", HTTPStatus.SEE_OTHER)


async def _person_page(
    request: Request,
    console: Console,
    principal: Principal,
    name: str,
    error: ProblemError | None = None,
) -> Response:
    person = await console.people.find(principal.name, name)
    missing = HTTPStatus.NOT_FOUND if person is None else HTTPStatus.OK
    return render(
        request,
        "person.html",
        principal,
        status=error.status if error else missing,
        person=person,
        name=name,
        rights=person.rights if person else RightsBody(),
        modes=MODES,
        error=error.detail if error else "",
        may_edit=principal.has(Permission.EDIT_PEOPLE),
    )
