"""Users and API tokens, for administrators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from edge.console.accounts.first_login import INVITATION_S
from edge.console.accounts.tokens import DAYS_MAX
from edge.console.accounts.users import User
from edge.console.context import Console, console_of
from edge.console.error_pages import status_of
from edge.console.events import ConsoleEvent
from edge.console.permissions import client_address, require
from edge.console.rendering import render
from edge.console.roles import TOKEN_PERMISSIONS, Permission, Principal, Role
from edge.errors import AccountError

router = APIRouter()

Name = Annotated[str, Form(max_length=64)]
Shared = Annotated[Console, Depends(console_of)]
UserManager = Annotated[Principal, require(Permission.MANAGE_USERS)]
TokenManager = Annotated[Principal, require(Permission.MANAGE_TOKENS)]


@router.get("/users")
def show_users(request: Request, console: Shared, principal: UserManager) -> Response:
    """Show all users."""
    return _users_page(_Action(request, console, principal))


@router.post("/users/add")
def add_user(
    request: Request,
    console: Shared,
    principal: UserManager,
    name: Name,
    role: Annotated[Role, Form()],
) -> Response:
    """Add a user, and show the one-time code for the first login."""
    action = _Action(request, console, principal, ConsoleEvent.USER_ADDED)
    try:
        with action.recorded(target=name, role=role):
            code = _issue_code(console, console.accounts.users.add(name, role))
    except AccountError as error:
        return _users_page(action, error=error)
    return _users_page(action, code=(name, code))


@router.post("/users/reset")
def reset_password(
    request: Request, console: Shared, principal: UserManager, name: Name
) -> Response:
    """Remove a user's password and authenticator, and show a one-time code."""
    users = console.accounts.users
    action = _Action(request, console, principal, ConsoleEvent.PASSWORD_RESET)
    try:
        user = action.other_user(name)
        with action.recorded(target=user.name):
            users.update_password(user, None)
            users.update_totp(user, None)
            code = _issue_code(console, user)
    except AccountError as error:
        return _users_page(action, error=error)
    return _users_page(action, code=(user.name, code))


@router.post("/users/role")
def change_role(
    request: Request,
    console: Shared,
    principal: UserManager,
    name: Name,
    role: Annotated[Role, Form()],
) -> Response:
    """Give a user another role."""
    action = _Action(request, console, principal, ConsoleEvent.ROLE_CHANGED)
    try:
        user = action.other_user(name)
        with action.recorded(target=user.name, role=role):
            console.accounts.users.update_role(user, role)
    except AccountError as error:
        return _users_page(action, error=error)
    return RedirectResponse("/users", HTTPStatus.SEE_OTHER)


@router.post("/users/disable")
def disable_user(
    request: Request,
    console: Shared,
    principal: UserManager,
    name: Name,
    disabled: Annotated[bool, Form()],
) -> Response:
    """Disable or enable a user."""
    event = ConsoleEvent.USER_DISABLED if disabled else ConsoleEvent.USER_ENABLED
    action = _Action(request, console, principal, event)
    try:
        user = action.other_user(name)
        with action.recorded(target=user.name):
            console.accounts.users.update_disabled(user, disabled)
    except AccountError as error:
        return _users_page(action, error=error)
    return RedirectResponse("/users", HTTPStatus.SEE_OTHER)


@router.get("/tokens")
def show_tokens(request: Request, console: Shared, principal: TokenManager) -> Response:
    """Show all API tokens."""
    return _tokens_page(_Action(request, console, principal))


@router.post("/tokens/make")
def make_token(
    request: Request,
    console: Shared,
    principal: TokenManager,
    name: Name,
    days: Annotated[int, Form()],
    permission: Annotated[list[Permission], Form()],
) -> Response:
    """Make a token with some of the user's own permissions, and show it once."""
    accounts = console.accounts
    chosen = [each for each in permission if principal.has(each)]
    action = _Action(request, console, principal, ConsoleEvent.TOKEN_MADE)
    try:
        with action.recorded(target=name, permission=", ".join(chosen)):
            token = accounts.tokens.make(name, principal.name, chosen, days, accounts.wall())
    except AccountError as error:
        return _tokens_page(action, error=error)
    return _tokens_page(action, token=(name, token))


@router.post("/tokens/revoke")
def revoke_token(
    request: Request, console: Shared, principal: TokenManager, name: Name
) -> Response:
    """Revoke a token."""
    action = _Action(request, console, principal, ConsoleEvent.TOKEN_REVOKED)
    try:
        with action.recorded(target=name):
            console.accounts.tokens.revoke(name)
    except AccountError as error:
        return _tokens_page(action, error=error)
    return RedirectResponse("/tokens", HTTPStatus.SEE_OTHER)


@dataclass(frozen=True, slots=True)
class _Action:
    """Change by a principal."""

    request: Request
    console: Console
    principal: Principal
    event: ConsoleEvent | None = None

    @contextlib.contextmanager
    def recorded(self, **fields: Any) -> Iterator[None]:
        """Undo the changes of a block if their record is not on disk. Raises RecordError."""
        accounts = self.console.accounts
        with accounts.database.transaction():
            yield
            assert self.event is not None
            accounts.audit.append(
                self.event, self.principal.name, address=client_address(self.request), **fields
            )

    def other_user(self, name: str) -> User:
        """Return a user who is not the principal; raises AccountError."""
        user = self.console.accounts.users.get(name)
        if user.name == self.principal.name:
            raise AccountError("this is your own account; another administrator must change it")
        return user


def _issue_code(console: Console, user: User) -> str:
    return console.accounts.codes.issue(user, console.accounts.wall(), INVITATION_S)


def _users_page(
    action: _Action,
    *,
    error: AccountError | None = None,
    code: tuple[str, str] | None = None,
) -> Response:
    return render(
        action.request,
        "users.html",
        action.principal,
        status=status_of(error) if error else HTTPStatus.OK,
        users=action.console.accounts.users.list_all(),
        roles=list(Role),
        error=str(error or ""),
        code=code,
    )


def _tokens_page(
    action: _Action,
    *,
    error: AccountError | None = None,
    token: tuple[str, str] | None = None,
) -> Response:
    accounts = action.console.accounts
    allowed = TOKEN_PERMISSIONS & action.principal.permissions
    return render(
        action.request,
        "tokens.html",
        action.principal,
        status=status_of(error) if error else HTTPStatus.OK,
        tokens=accounts.tokens.list_all(),
        permissions=[each for each in Permission if each in allowed],
        now=accounts.wall(),
        days_max=DAYS_MAX,
        error=str(error or ""),
        token=token,
    )
