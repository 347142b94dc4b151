"""People: list, enrollment from photos, rights and removal."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import Response

from edge.console.api.keys import IdempotencyKey, execute_once
from edge.console.api.people_models import (
    ChangeAnswer,
    PersonAnswer,
    PersonList,
    RightsChange,
    change_answer,
    person_answer,
)
from edge.console.context import Console, console_of
from edge.console.people_actions import NewPerson, PeopleActions
from edge.console.people_control import is_found
from edge.console.permissions import require
from edge.console.person_form import read_rights
from edge.console.problem_error import ProblemError
from edge.console.problems import responses
from edge.console.roles import Permission, Principal
from edge.names import NAME_MAX
from edge.people_protocol import TEXT_MAX, DoneEvent

router = APIRouter(tags=["people"])
PAGE_MAX = 1000
_Shared = Annotated[Console, Depends(console_of)]
_Reader = Annotated[Principal, require(Permission.READ_PEOPLE)]
_Editor = Annotated[Principal, require(Permission.EDIT_PEOPLE)]
_Name = Annotated[
    str, PathParameter(max_length=NAME_MAX, description="name of the person", examples=["Ada"])
]
_Reason = Annotated[str, Query(min_length=1, max_length=TEXT_MAX, description="for the audit log")]
_CHANGED = responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE) | {
    HTTPStatus.OK.value: {"model": ChangeAnswer, "description": "The change was made."}
}


@router.get("/people", summary="List people", responses=responses(HTTPStatus.SERVICE_UNAVAILABLE))
async def list_people(
    principal: _Reader,
    console: _Shared,
    search: Annotated[str, Query(max_length=NAME_MAX, description="part of name or group")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX, description="people of a page")] = 100,
    offset: Annotated[int, Query(ge=0, description="people before the page")] = 0,
) -> PersonList:
    """Return people by name; the list is some seconds old at most."""
    people = await console.people.list_people(principal.name)
    found = [person for person in people if is_found(person, search)]
    page = found[offset : offset + limit]
    return PersonList(people=[person_answer(one) for one in page], total=len(found))


@router.get(
    "/people/{name}",
    summary="Read one person",
    responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def read_person(principal: _Reader, console: _Shared, name: _Name) -> PersonAnswer:
    """Return a person."""
    person = await console.people.find(principal.name, name)
    if person is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, f"{name}: not enrolled", "not-enrolled")
    return person_answer(person)


@router.post("/people", summary="Enroll a person from photos", responses=_CHANGED)
async def enroll_person(
    request: Request,
    principal: _Editor,
    console: _Shared,
    idempotency_key: IdempotencyKey,
    photos: Annotated[list[UploadFile], File(description="photos with one face each")],
    name: Annotated[str, Form(max_length=NAME_MAX, examples=["Ada"])],
    consent: Annotated[str, Form(max_length=TEXT_MAX, description="place of the signed form")] = "",
    groups: Annotated[str, Form(max_length=500, description="separated by commas")] = "",
    valid_from: Annotated[str, Form(max_length=10, description="first day")] = "",
    valid_until: Annotated[str, Form(max_length=10, description="last day")] = "",
    replace: Annotated[bool, Form(description="replace earlier templates")] = False,
) -> Response:
    """Enroll a person completely or not at all; of unusable photos nothing is stored."""
    form = {"groups": groups, "valid_from": valid_from, "valid_until": valid_until}
    person = NewPerson(name, read_rights(form), consent, replace)
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(hashlib.sha256(await photo.read()).digest())
        await photo.seek(0)
    fields = {"consent": consent, "replace": replace, "photos": digest.hexdigest()}
    actions = PeopleActions.of(request, console, principal)
    return await _once(
        actions,
        idempotency_key,
        ("enroll", name, fields | form),
        lambda: actions.enroll_photos(person, photos),
    )


@router.patch("/people/{name}", summary="Change the rights of a person", responses=_CHANGED)
async def change_rights(
    request: Request,
    principal: _Editor,
    console: _Shared,
    idempotency_key: IdempotencyKey,
    name: _Name,
    body: RightsChange,
) -> Response:
    """Change the given rights."""
    actions = PeopleActions.of(request, console, principal)
    return await _once(
        actions,
        idempotency_key,
        ("rights", name, body.model_dump(mode="json", exclude_unset=True)),
        lambda: actions.set_rights(name, body.reason, body.rights),
    )


@router.delete("/people/{name}", summary="Erase a person", responses=_CHANGED)
async def remove_person(
    request: Request,
    principal: _Editor,
    console: _Shared,
    idempotency_key: IdempotencyKey,
    name: _Name,
    reason: _Reason,
) -> Response:
    """Erase a person from gallery and door. This cannot be undone."""
    actions = PeopleActions.of(request, console, principal)
    return await _once(
        actions,
        idempotency_key,
        ("remove", name, {"reason": reason}),
        lambda: actions.remove(name, reason),
    )


async def _once(
    actions: PeopleActions,
    key: str,
    request: tuple[str, str, Mapping[str, Any]],
    work: Callable[[], Awaitable[DoneEvent]],
) -> Response:
    """Do work once for each key; `request` is its action, the person and the fields."""
    action, name, fields = request

    async def change() -> ChangeAnswer:
        return change_answer(name, await work())

    console, user = actions.console, actions.principal.name
    sent = {"action": action, "name": name, **fields}
    return await execute_once(console.keys, user, key, sent, console.accounts.wall(), change)
