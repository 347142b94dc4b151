"""Access of each role to each route, and the headers of each answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from edge.console.roles import Role
from edge.console.security import HEADERS, TRANSPORT_SECURITY
from tests.console_routes import ANYONE, ConsoleRoute, list_routes
from tests.edge.console.conftest import Clients
from tests.reference import console_access

PAGE = Path(__file__).parents[3] / "docs" / "console-access.md"
ROUTES = list_routes()
PUBLIC = {"/static/{file}", "/login", "/first-login", "/healthz", "/readyz"}
ENDLESS = ("/stream",)  # ends of paths whose answers never end


def send(client: TestClient, route: ConsoleRoute) -> int:
    """Return the status of the answer to a request without content."""
    if route.method == "WS":
        try:
            with client.websocket_connect(route.example):
                return 101
        except WebSocketDisconnect as refused:
            return refused.code
    return client.request(route.method, route.example).status_code


def is_endless(route: ConsoleRoute) -> bool:
    return route.path.endswith(ENDLESS) or route.method == "WS"


@pytest.mark.parametrize("role", Role, ids=str)
def test_route_refuses_other_roles(role: Role, client_of: Clients) -> None:
    found = {}
    for route in ROUTES:
        if not (is_endless(route) and route.allows(role)):
            status = send(client_of(role), route)
            found[f"{route.method} {route.path}"] = status not in (401, 403, 500, 1008), status
    expected = {
        f"{route.method} {route.path}": route.allows(role)
        for route in ROUTES
        if f"{route.method} {route.path}" in found
    }
    assert {name: allowed for name, (allowed, _) in found.items()} == expected, found


def test_route_without_login_is_refused(anonymous: TestClient) -> None:
    for route in ROUTES:
        if route.needs == ANYONE:
            continue
        status = send(anonymous, route)
        assert status in (303, 401, 403, 1008), (route, status)


def test_public_routes_are_few() -> None:
    assert {route.path for route in ROUTES if route.needs == ANYONE} <= PUBLIC


@pytest.mark.parametrize("role", [None, Role.ADMINISTRATOR], ids=str)
def test_answers_have_security_headers(
    role: Role | None, client_of: Clients, anonymous: TestClient
) -> None:
    client = client_of(role) if role else anonymous
    for route in ROUTES:
        if not is_endless(route):
            answer = client.request(route.method, route.example)
            headers = {name: answer.headers.get(name) for name in HEADERS}
            assert headers == HEADERS, route
            assert answer.headers["strict-transport-security"] == TRANSPORT_SECURITY
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_access_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == console_access.page(), "run: make docs-generate"
