"""Users and API tokens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from edge.console.context import Console
from edge.console.roles import ROLE_PERMISSIONS, TOKEN_PERMISSIONS, Permission, Role
from tests.edge.console.conftest import PASSWORD, Clients, WallTime
from tests.edge.console.records import records_of, wait_for_event

CODE = re.compile(r'<code class="code">([^<]+)</code>')


def shown_code(text: str) -> str:
    found = CODE.search(text)
    assert found, text
    return found[1]


def test_added_user_logs_in_with_code(
    console: Console, client_of: Clients, anonymous: TestClient
) -> None:
    form = {"name": "bob", "role": "operator"}
    code = shown_code(client_of(Role.ADMINISTRATOR).post("/users/add", data=form).text)
    first = {"code": code, "password": PASSWORD, "repeated": PASSWORD}
    assert anonymous.post("/first-login", data=first).status_code == 303
    assert anonymous.get("/health").status_code == 200
    record = wait_for_event(console, "user-added")
    assert (record["user"], record["target"], record["role"]) == (
        "administrator",
        "bob",
        "operator",
    )


def test_user_with_same_name_is_refused(client_of: Clients) -> None:
    client = client_of(Role.ADMINISTRATOR)
    answers = [
        client.post("/users/add", data={"name": name, "role": "viewer"}).status_code
        for name in ("bob", "BOB", "no spaces", "")
    ]
    assert answers == [200, 409, 409, 422]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/users/role", {"role": "viewer"}),
        ("/users/disable", {"disabled": "true"}),
        ("/users/reset", {}),
    ],
)
def test_administrator_keeps_own_rights(
    console: Console, client_of: Clients, path: str, form: dict[str, str]
) -> None:
    client = client_of(Role.ADMINISTRATOR)
    answer = client.post(path, data={"name": "administrator", **form})
    assert answer.status_code == 409
    assert client.get("/users").status_code == 200
    assert not records_of(console)


def test_reset_removes_password_and_sessions(console: Console, client_of: Clients) -> None:
    viewer, users = client_of(Role.VIEWER), console.accounts.users
    users.update_totp(users.get("viewer"), "A" * 32)
    answer = client_of(Role.ADMINISTRATOR).post("/users/reset", data={"name": "viewer"})
    assert shown_code(answer.text)
    assert viewer.get("/health").status_code == 303
    assert users.get("viewer").totp is None


def test_disabled_and_enabled_user(console: Console, client_of: Clients) -> None:
    viewer, admin = client_of(Role.VIEWER), client_of(Role.ADMINISTRATOR)
    for disabled, event in (("true", "user-disabled"), ("false", "user-enabled")):
        form = {"name": "viewer", "disabled": disabled}
        assert admin.post("/users/disable", data=form).status_code == 303
        assert wait_for_event(console, event)["target"] == "viewer"
    assert viewer.get("/health").status_code == 303, "its sessions have ended"


def test_change_without_record_is_undone(
    console: Console, client_of: Clients, tmp_path: Path
) -> None:
    client = client_of(Role.ADMINISTRATOR)
    path = console.config.console_record_path
    path.parent.mkdir(exist_ok=True)
    path.write_text("a file in place of the folder of the log")
    answer = client.post("/users/add", data={"name": "bob", "role": "viewer"})
    assert answer.status_code == 503
    assert console.accounts.users.find("bob") is None


def make_token(client: TestClient, *permissions: str, days: int = 30) -> str:
    form = {"name": "integrator", "days": str(days), "permission": list(permissions)}
    answer = client.post("/tokens/make", data=form)
    assert answer.status_code == 200, answer.text
    return shown_code(answer.text)


def test_token_has_its_permissions_only(
    console: Console, client_of: Clients, anonymous: TestClient
) -> None:
    token = make_token(client_of(Role.ADMINISTRATOR), "read-health")
    header = {"authorization": f"Bearer {token}"}
    assert anonymous.get("/health", headers=header).status_code == 200
    assert anonymous.get("/users", headers=header).status_code == 403
    assert anonymous.get("/account", headers=header).status_code == 403
    assert wait_for_event(console, "permission-refused")["user"] == "token:integrator"


def test_token_is_stored_as_hash(console: Console, client_of: Clients) -> None:
    token = make_token(client_of(Role.ADMINISTRATOR), "read-health")
    stored = b"".join(path.read_bytes() for path in console.settings.folder.glob("accounts.db*"))
    assert token.encode() not in stored and token[5:].encode() not in stored


def test_token_expires(client_of: Clients, anonymous: TestClient, wall: WallTime) -> None:
    token = make_token(client_of(Role.ADMINISTRATOR), "read-health", days=1)
    wall.now += 86_401
    answer = anonymous.get("/health", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 303


def test_token_revoked_is_refused(client_of: Clients, anonymous: TestClient) -> None:
    admin = client_of(Role.ADMINISTRATOR)
    token = make_token(admin, "read-health")
    assert admin.post("/tokens/revoke", data={"name": "integrator"}).status_code == 303
    answer = anonymous.get("/health", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 303


def test_token_has_at_most_rights_of_owner(
    console: Console, client_of: Clients, anonymous: TestClient
) -> None:
    token = make_token(client_of(Role.ADMINISTRATOR), "read-health", "read-metrics")
    users = console.accounts.users
    client_of(Role.AUDITOR)
    users.update_password(users.add("second", Role.ADMINISTRATOR), "hash")
    users.update_disabled(users.get("administrator"), True)
    answer = anonymous.get("/health", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 303


def test_token_never_manages_accounts(client_of: Clients) -> None:
    form = {"name": "t", "days": "1", "permission": ["manage-users", "manage-tokens"]}
    answer = client_of(Role.ADMINISTRATOR).post("/tokens/make", data=form)
    assert answer.status_code == 409
    assert Permission.MANAGE_USERS not in TOKEN_PERMISSIONS


def test_roles_grow_except_for_auditors() -> None:
    rights = ROLE_PERMISSIONS
    assert rights[Role.VIEWER] < rights[Role.OPERATOR] < rights[Role.ADMINISTRATOR]
    assert Permission.VIEW_LIVE not in rights[Role.AUDITOR]
