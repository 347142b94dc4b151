"""Login, logout, first password, and the account of the user."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from edge.console.accounts import totp
from edge.console.accounts.login import LoginRefusedError
from edge.console.accounts.passwords import LENGTH_MAX, LENGTH_MIN
from edge.console.accounts.sessions import Session
from edge.console.accounts.users import User
from edge.console.context import Console, console_of
from edge.console.error_pages import status_of
from edge.console.events import ConsoleEvent
from edge.console.permissions import COOKIE, client_address, current_principal, logged_in_user
from edge.console.rendering import NAVIGATION, render
from edge.console.roles import Principal
from edge.errors import AccountError

router = APIRouter()

Text = Annotated[str, Form(max_length=LENGTH_MAX)]
Shared = Annotated[Console, Depends(console_of)]
LoggedIn = Annotated[Principal, Depends(logged_in_user)]


@router.get("/")
def show_start(principal: Annotated[Principal, Depends(current_principal)]) -> Response:
    """Open the first page that the user may see."""
    allowed = [item.path for item in NAVIGATION if principal.has(item.permission)]
    return RedirectResponse(allowed[0] if allowed else "/account", HTTPStatus.SEE_OTHER)


@router.get("/login")
def show_login(request: Request, next: str = "/") -> Response:
    """Show the login form."""
    return render(request, "login.html", error="", next=next)


@router.post("/login")
def log_in(
    request: Request,
    console: Shared,
    name: Text,
    password: Text,
    code: Text = "",
    next: Annotated[str, Form(max_length=500)] = "/",
) -> Response:
    """Start a session."""
    try:
        session = console.accounts.logins.login(name, password, code, client_address(request))
    except AccountError as error:
        return _refused(request, "login.html", error, next=next)
    return _with_session(session, next)


@router.get("/first-login")
def show_first_login(request: Request) -> Response:
    """Show the form for a one-time code."""
    return render(request, "first_login.html", error="", least=LENGTH_MIN)


@router.post("/first-login")
def set_first_password(
    request: Request, console: Shared, code: Text, password: Text, repeated: Text
) -> Response:
    """Set the password of the user of a one-time code, and start a session."""
    try:
        _check_equal(password, repeated)
        session = console.accounts.logins.set_password(code, password, client_address(request))
    except AccountError as error:
        return _refused(request, "first_login.html", error, least=LENGTH_MIN)
    return _with_session(session, "/")


@router.post("/logout")
def log_out(request: Request, console: Shared, principal: LoggedIn) -> Response:
    """End the session."""
    if principal.session is not None:
        # Ended before the record: also a full disk must not keep a session open.
        console.accounts.sessions.end(principal.session.token)
        console.accounts.audit.append(
            ConsoleEvent.LOGOUT, principal.name, address=client_address(request)
        )
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    return answer


@router.get("/account")
def show_account(request: Request, console: Shared, principal: LoggedIn) -> Response:
    """Show the user's own account."""
    return _account_page(request, console, principal)


@router.post("/account/password")
def change_password(
    request: Request,
    console: Shared,
    principal: LoggedIn,
    old: Text,
    password: Text,
    repeated: Text,
) -> Response:
    """Replace the password; all sessions end, this browser gets a new one."""
    user = console.accounts.users.get(principal.name)
    try:
        _check_equal(password, repeated)
        session = console.accounts.logins.change_password(
            user, old, password, client_address(request)
        )
    except AccountError as error:
        return _account_page(request, console, principal, error)
    return _with_session(session, "/account")


@router.post("/account/totp")
def set_totp(
    request: Request, console: Shared, principal: LoggedIn, secret: Text, code: Text
) -> Response:
    """Set up the authenticator app, after a code of it has been compared."""
    accounts = console.accounts
    user = accounts.users.get(principal.name)
    step = totp.matching_step(secret, code, accounts.wall()) if totp.is_secret(secret) else None
    if user.totp is not None or step is None:
        error = AccountError("the code does not match; compare the clock of the phone")
        return _account_page(request, console, principal, error, secret)
    accounts.audit.append(ConsoleEvent.TOTP_SET, user.name, address=client_address(request))
    accounts.users.update_totp(user, secret)
    accounts.users.use_totp_step(user, step)
    return RedirectResponse("/account", HTTPStatus.SEE_OTHER)


@router.post("/account/sessions")
def end_other_sessions(request: Request, console: Shared, principal: LoggedIn) -> Response:
    """End the user's sessions in other browsers."""
    if principal.session is not None:
        console.accounts.sessions.end_others(principal.session)
        console.accounts.audit.append(
            ConsoleEvent.LOGOUT, principal.name, address=client_address(request)
        )
    return RedirectResponse("/account", HTTPStatus.SEE_OTHER)


def _account_page(
    request: Request,
    console: Console,
    principal: Principal,
    error: AccountError | None = None,
    secret: str = "",
) -> Response:
    user: User = console.accounts.users.get(principal.name)
    secret = secret if totp.is_secret(secret) else totp.new_secret()
    return render(
        request,
        "account.html",
        principal,
        status=status_of(error) if error else HTTPStatus.OK,
        error=str(error or ""),
        user=user,
        sessions=console.accounts.sessions.count(user),
        secret=secret,
        address=totp.setup_address(secret, user.name, console.config.terminal),
        least=LENGTH_MIN,
    )


def _check_equal(password: str, repeated: str) -> None:
    if password != repeated:
        raise AccountError("the two passwords differ; enter the same one twice")


def _refused(request: Request, template: str, error: AccountError, **fields: Any) -> Response:
    answer = render(request, template, status=status_of(error), error=str(error), **fields)
    if isinstance(error, LoginRefusedError) and error.retry_s > 0:
        answer.headers["retry-after"] = str(int(error.retry_s) + 1)
    return answer


def _with_session(session: Session, path: str) -> Response:
    """Return a redirect to a page of the console that sets the cookie of a session."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\"))
    answer = RedirectResponse(path if is_own else "/", HTTPStatus.SEE_OTHER)
    answer.set_cookie(COOKIE, session.token, secure=True, httponly=True, samesite="strict")
    return answer
