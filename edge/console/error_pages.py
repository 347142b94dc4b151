"""Answers to refused requests and expected errors on pages."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from edge.console.accounts.login import LoginRefusedError
from edge.console.accounts.passwords import TooManyLoginsError
from edge.console.people_control import PeopleUnavailableError
from edge.console.rendering import render
from edge.errors import AccountError, DoorError, MfsaError, RecordError

_STATUS: dict[type[MfsaError], HTTPStatus] = {
    LoginRefusedError: HTTPStatus.FORBIDDEN,
    TooManyLoginsError: HTTPStatus.TOO_MANY_REQUESTS,
    AccountError: HTTPStatus.CONFLICT,
    PeopleUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    DoorError: HTTPStatus.SERVICE_UNAVAILABLE,
    RecordError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: MfsaError) -> HTTPStatus:
    """Return the HTTP status of an expected error."""
    if isinstance(error, LoginRefusedError) and error.retry_s > 0:
        return HTTPStatus.TOO_MANY_REQUESTS
    return next(
        (status for kind, status in _STATUS.items() if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def install(app: FastAPI) -> None:
    """Answer errors with pages, and requests without a login with the login page."""

    @app.exception_handler(HTTPException)
    async def answer_refusal(request: Request | WebSocket, error: HTTPException) -> Response | None:
        if isinstance(request, WebSocket):
            await request.close(1008, str(error.detail))
            return None
        if error.status_code == HTTPStatus.UNAUTHORIZED:
            return _ask_for_login(request)
        return _error_page(request, HTTPStatus(error.status_code), str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        found = "; ".join(
            f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()
        )
        return _error_page(request, HTTPStatus.UNPROCESSABLE_ENTITY, found)

    @app.exception_handler(MfsaError)
    async def answer_error(request: Request, error: MfsaError) -> Response:
        return _error_page(request, status_of(error), str(error))


def _ask_for_login(request: Request) -> Response:
    # A part of a page cannot be opened alone.
    page = urlsplit(request.headers.get("hx-current-url", "")).path or request.url.path
    address = f"/login?next={quote(page)}"
    if request.headers.get("hx-request"):
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    if request.method == "GET":
        return RedirectResponse(address, HTTPStatus.SEE_OTHER)
    return _error_page(request, HTTPStatus.UNAUTHORIZED, "log in first")


def _error_page(request: Request, status: HTTPStatus, text: str) -> Response:
    return render(request, "error.html", status=status.value, title=status.phrase, text=text)
