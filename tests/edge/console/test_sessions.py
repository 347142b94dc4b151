"""Sessions and protection against requests of other sites."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from edge.console.context import Console
from edge.console.permissions import COOKIE, CSRF_HEADER
from edge.console.roles import Role
from tests.edge.console.conftest import Clients, WallTime, start_session
from tests.edge.console.records import events_of


def test_session_ends_after_idle_time(client_of: Clients, wall: WallTime) -> None:
    client = client_of(Role.VIEWER)
    wall.now += 14 * 60
    assert client.get("/health").status_code == 200
    wall.now += 14 * 60
    assert client.get("/health").status_code == 200
    wall.now += 16 * 60
    assert client.get("/health").status_code == 303


def test_session_is_not_kept_by_pages(client_of: Clients, wall: WallTime) -> None:
    client = client_of(Role.VIEWER)
    for _ in range(2):
        wall.now += 8 * 60
        answer = client.get("/health", headers={"sec-fetch-mode": "cors"})
    assert answer.status_code == 303


def test_session_ends_after_its_length(client_of: Clients, wall: WallTime) -> None:
    client = client_of(Role.VIEWER)
    for _ in range(12 * 6):
        wall.now += 600
        assert client.get("/health").status_code == 200
    wall.now += 600
    assert client.get("/health").status_code == 303


def test_session_of_a_future_clock_ends(client_of: Clients, wall: WallTime) -> None:
    client = client_of(Role.VIEWER)
    wall.now -= 3600
    assert client.get("/health").status_code == 303


def test_logout_ends_session_on_server(console: Console, client_of: Clients) -> None:
    client = client_of(Role.VIEWER)
    token = client.cookies[COOKIE]
    assert client.post("/logout").status_code == 303
    client.cookies.set(COOKIE, token)
    assert client.get("/health").status_code == 303
    assert events_of(console) == ["logout"]


def test_sessions_of_other_browsers_end(client_of: Clients) -> None:
    here, other = client_of(Role.VIEWER), client_of(Role.VIEWER)
    assert here.post("/account/sessions").status_code == 303
    assert here.get("/health").status_code == 200
    assert other.get("/health").status_code == 303


def test_disabled_user_is_logged_out(console: Console, client_of: Clients) -> None:
    client, users = client_of(Role.VIEWER), console.accounts.users
    users.update_disabled(users.get("viewer"), True)
    assert client.get("/health").status_code == 303


def test_lower_role_applies_at_once(console: Console, client_of: Clients) -> None:
    client, users = client_of(Role.OPERATOR), console.accounts.users
    users.update_role(users.get("operator"), Role.AUDITOR)
    assert client.get("/users").status_code == 403


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_change_without_csrf_token_is_refused(client_of: Clients, token: str) -> None:
    client = client_of(Role.VIEWER)
    answer = client.post("/logout", data={"csrf": token}, headers={CSRF_HEADER: ""})
    assert answer.status_code == 403 and client.get("/health").status_code == 200


def test_csrf_token_in_form_is_accepted(console: Console, client_of: Clients) -> None:
    client, session = client_of(Role.VIEWER), start_session(console, Role.VIEWER)
    client.cookies.clear()
    client.cookies.set(COOKIE, session.token)
    answer = client.post("/logout", data={"csrf": session.csrf}, headers={CSRF_HEADER: ""})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "header",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil"}],
)
def test_login_from_another_site_is_refused(anonymous: TestClient, header: dict[str, str]) -> None:
    form = {"name": "ada", "password": "x"}
    assert anonymous.post("/login", data=form, headers=header).status_code == 403
    assert anonymous.post("/login", data=form, headers=header).text == "request of another site"


def test_large_body_is_refused(anonymous: TestClient) -> None:
    chunks = (b"x" * 100_000 for _ in range(20))
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert anonymous.post("/login", content=b"x" * 1_100_000).status_code == 413
    assert anonymous.post("/login", content=chunks, headers=form).status_code == 413


@pytest.mark.parametrize("path", ["/logout", "/account/sessions"])
def test_session_ends_without_a_record(console: Console, client_of: Clients, path: str) -> None:
    folder = console.config.console_record_path
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file in place of the log")
    client, other = client_of(Role.VIEWER), client_of(Role.VIEWER)
    assert client.post(path).status_code == 503
    ended = client if path == "/logout" else other
    assert ended.get("/health").status_code == 303


def test_login_returns_to_the_page_of_a_part(anonymous: TestClient) -> None:
    headers = {"hx-request": "true", "hx-current-url": "https://console/door/main?done=unlock"}
    answer = anonymous.get("/door/main/state", headers=headers)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/login?next=/door/main")
