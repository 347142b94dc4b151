"""FastAPI dependencies: who sends a request, and the permission that a route needs."""

from __future__ import annotations

import hmac
from typing import Any

from fastapi import Depends, HTTPException
from fastapi.requests import HTTPConnection, Request

from edge.console.accounts.context import Accounts
from edge.console.accounts.tokens import PREFIX
from edge.console.context import Console, console_of
from edge.console.events import ConsoleEvent
from edge.console.roles import ROLE_PERMISSIONS, Permission, Principal
from edge.console.security import SAFE_METHODS
from edge.errors import AccountError

COOKIE = "__Host-session"
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
# Routes without login. Every other route needs a permission or a session.
PUBLIC = frozenset({"/login", "/first-login", "/healthz", "/readyz", "/static"})


async def sent_csrf_token(request: HTTPConnection) -> str:
    """Return the token that a request has in its header or form, empty if it has none."""
    if header := request.headers.get(CSRF_HEADER):
        return header
    is_form = request.headers.get("content-type", "").startswith(_FORMS)
    if not is_form or not isinstance(request, Request) or request.method in SAFE_METHODS:
        return ""
    field = (await request.form()).get(CSRF_FIELD)
    return field if isinstance(field, str) else ""


def current_principal(
    connection: HTTPConnection,
    csrf: str = Depends(sent_csrf_token),
    console: Console = Depends(console_of),
) -> Principal:
    """Return who sends a request; raises HTTPException 401 or 403. A FastAPI dependency."""
    principal = _find_principal(connection, console.accounts)
    if principal.session is None or connection.scope.get("method", "GET") in SAFE_METHODS:
        return principal
    if not hmac.compare_digest(csrf.encode(), principal.csrf.encode()):
        raise HTTPException(403, "the form is out of date: load the page again")
    return principal


def may_edit_people(connection: HTTPConnection, console: Console) -> bool:
    """Return True if a request is of a client that may enroll people, by its headers."""
    try:
        return _find_principal(connection, console.accounts).has(Permission.EDIT_PEOPLE)
    except (HTTPException, AccountError):
        return False


def _find_principal(connection: HTTPConnection, accounts: Accounts) -> Principal:
    """Return the user or token of a request; raises HTTPException 401."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _token_principal(accounts, token.strip())
    return _session_principal(connection, accounts)


def _token_principal(accounts: Accounts, text: str) -> Principal:
    found = accounts.tokens.find(text, accounts.wall()) if text.startswith(PREFIX) else None
    owner = accounts.users.find(found.owner) if found else None
    if found is None or owner is None or owner.is_disabled:
        raise HTTPException(401, "the API token is unknown, revoked or expired")
    return Principal(f"token:{found.name}", found.permissions & ROLE_PERMISSIONS[owner.role])


def _session_principal(connection: HTTPConnection, accounts: Accounts) -> Principal:
    """Return the user of a session, with the present role of the user."""
    # Requests that a page sends by itself do not keep an unattended session open.
    is_active = connection.headers.get("sec-fetch-mode", "navigate") == "navigate" or (
        connection.scope.get("method", "GET") not in SAFE_METHODS
    )
    session = accounts.sessions.find(
        connection.cookies.get(COOKIE, ""), accounts.wall(), is_active=is_active
    )
    user = accounts.users.by_id(session.user) if session else None
    if session is None or user is None or user.is_disabled:
        raise HTTPException(401, "log in first")
    return Principal(user.name, ROLE_PERMISSIONS[user.role], session)


class PermissionCheck:
    """FastAPI dependency that refuses requests without a permission; returns the principal."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(
        self,
        connection: HTTPConnection,
        principal: Principal = Depends(current_principal),
        console: Console = Depends(console_of),
    ) -> Principal:
        if not principal.has(self.permission):
            console.accounts.audit.append_refusal(
                ConsoleEvent.PERMISSION_REFUSED,
                principal.name,
                permission=self.permission,
                address=client_address(connection),
            )
            raise HTTPException(403, f"{principal.name} has no permission {self.permission}")
        return principal


def require(permission: Permission) -> Any:
    """Return the dependency of a route that needs a permission; its value is the Principal."""
    return Depends(PermissionCheck(permission))


def logged_in_user(principal: Principal = Depends(current_principal)) -> Principal:
    """Return the user of a session; API tokens are refused. A FastAPI dependency."""
    if principal.session is None:
        raise HTTPException(403, "this page is for users, not for API tokens")
    return principal


def client_address(connection: HTTPConnection) -> str:
    """Return the network address of a client."""
    return connection.client.host if connection.client else "unknown"
