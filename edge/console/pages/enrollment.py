"""Enrollment wizard: from photos, or from the camera with instructions for the person."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import UploadFile

from edge.console.context import Console
from edge.console.enrollment import EnrollmentProgress
from edge.console.pages.people import Editor, Shared
from edge.console.people_actions import NewPerson, PeopleActions
from edge.console.person_form import MODES, read_rights
from edge.console.problem_error import ProblemError
from edge.console.rendering import render
from edge.console.roles import Principal
from edge.names import NAME_MAX
from edge.people_protocol import PHOTOS_MAX, TEXT_MAX, RightsBody

router = APIRouter()

STOP_POLLING = 286  # htmx: show the answer, and ask no more
Number = Annotated[str, Path(max_length=32)]


@router.get("/people/enroll")
async def show_form(request: Request, principal: Editor) -> Response:
    """Show the form of an enrollment."""
    return _form_page(request, principal, {}, RightsBody())


@router.post("/people/enroll")
async def enroll(
    request: Request,
    console: Shared,
    principal: Editor,
    name: Annotated[str, Form(max_length=NAME_MAX)],
    source: Annotated[str, Form(pattern="^(camera|photos)$")],
    consent: Annotated[str, Form(max_length=TEXT_MAX)] = "",
) -> Response:
    """Start an enrollment from the camera, or enroll from photos at once."""
    sent = await request.form(max_files=PHOTOS_MAX)
    form = {key: value for key, value in sent.items() if isinstance(value, str)}
    files = [file for _, file in sent.multi_items() if isinstance(file, UploadFile) and file.size]
    rights = RightsBody()
    actions = PeopleActions.of(request, console, principal)
    try:
        rights = read_rights(form)
        person = NewPerson(name, rights, consent, replace=form.get("replace") == "true")
        if source == "photos":
            await actions.enroll_photos(person, files)
            return RedirectResponse(f"/people?{urlencode({'done': name})}", HTTPStatus.SEE_OTHER)
        progress = await actions.enroll_camera(
            person, frontal_only=form.get("frontal_only") == "true"
        )
    except ProblemError as error:
        return _form_page(request, principal, form, rights, error)
    return RedirectResponse(f"/people/enrollment/{progress.number}", HTTPStatus.SEE_OTHER)


@router.get("/people/enrollment/{number}")
async def show_enrollment(
    request: Request, console: Shared, principal: Editor, number: Number
) -> Response:
    """Show the enrollment in progress: live picture and instructions."""
    progress = _find(console, principal, number)
    return render(request, "enrollment.html", principal, progress=progress)


@router.get("/people/enrollment/{number}/state")
async def show_state(
    request: Request, console: Shared, principal: Editor, number: Number
) -> Response:
    """Return the changing part of the page."""
    progress = _find(console, principal, number)
    status = HTTPStatus.OK if progress.is_running else STOP_POLLING
    return render(request, "enrollment_state.html", principal, status=status, progress=progress)


@router.post("/people/enrollment/{number}/cancel")
async def cancel(console: Shared, principal: Editor, number: Number) -> Response:
    """End the enrollment; nothing is stored unless it was done already."""
    await console.enrollments.cancel(_find(console, principal, number))
    return RedirectResponse(f"/people/enrollment/{number}", HTTPStatus.SEE_OTHER)


def _find(console: Console, principal: Principal, number: str) -> EnrollmentProgress:
    """Return an enrollment of the user; raises HTTPException 404."""
    progress = console.enrollments.find(number, principal.name)
    if progress is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "this enrollment has ended; start another one")
    return progress


def _form_page(
    request: Request,
    principal: Principal,
    form: Mapping[str, str],
    rights: RightsBody,
    error: ProblemError | None = None,
) -> Response:
    return render(
        request,
        "enroll.html",
        principal,
        status=error.status if error else HTTPStatus.OK,
        form=form,
        rights=rights,
        modes=MODES,
        photos_max=PHOTOS_MAX,
        error=error.detail if error else "",
    )
