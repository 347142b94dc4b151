"""Logins: passwords, one-time codes, authenticator apps, lockout."""

from __future__ import annotations

from collections.abc import Callable

import pyotp
import pytest
from fastapi.testclient import TestClient

from edge.access.lockout import KEYS_MAX
from edge.console.accounts.first_login import FIRST_LOGIN_S
from edge.console.accounts.login import LoginRefusedError, LoginService, client_network
from edge.console.accounts.passwords import PasswordHasher
from edge.console.context import Console
from edge.console.permissions import COOKIE
from edge.console.roles import Role
from tests.edge.console.conftest import PASSWORD, Clients, WallTime
from tests.edge.console.records import events_of, records_of, wait_for_event


def issue_code(console: Console, name: str = "ada", role: Role = Role.ADMINISTRATOR) -> str:
    """Return the one-time code of a new user."""
    user = console.accounts.users.add(name, role)
    return console.accounts.codes.issue(user, console.accounts.wall(), FIRST_LOGIN_S)


def redeem(client: TestClient, code: str, password: str = PASSWORD) -> int:
    form = {"code": code, "password": password, "repeated": password}
    return client.post("/first-login", data=form).status_code


def log_in(client: TestClient, password: str = PASSWORD, name: str = "ada", code: str = "") -> int:
    form = {"name": name, "password": password, "code": code}
    return client.post("/login", data=form).status_code


@pytest.fixture
def ada(console: Console, anonymous: TestClient) -> TestClient:
    """Client of an administrator with a password, logged out."""
    assert redeem(anonymous, issue_code(console)) == 303
    anonymous.cookies.clear()
    return anonymous


def test_first_login_sets_password_and_cookie(console: Console, anonymous: TestClient) -> None:
    code = issue_code(console).lower().replace("-", " ")
    form = {"code": code, "password": PASSWORD, "repeated": PASSWORD}
    answer = anonymous.post("/first-login", data=form)
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303
    assert all(word in cookie for word in ("secure", "httponly", "samesite=strict", "path=/"))
    assert anonymous.get("/users").status_code == 200
    assert events_of(console) == ["password-set", "login"]


def test_first_login_code_is_used_once(console: Console, anonymous: TestClient) -> None:
    code = issue_code(console)
    assert redeem(anonymous, code) == 303
    assert redeem(anonymous, code) == 403


def test_first_login_code_expires(console: Console, anonymous: TestClient, wall: WallTime) -> None:
    code = issue_code(console)
    wall.now += FIRST_LOGIN_S + 1
    assert redeem(anonymous, code) == 403
    assert wait_for_event(console, "login-failed")["user"] == ""


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "password of ada 1"])
def test_first_login_refuses_weak_passwords(
    console: Console, anonymous: TestClient, password: str
) -> None:
    code = issue_code(console)
    assert redeem(anonymous, code, password) == 409
    assert redeem(anonymous, code) == 303


def test_login_right_password_is_recorded(console: Console, ada: TestClient) -> None:
    assert log_in(ada) == 303
    newest = records_of(console)[-1]
    assert (newest["event"], newest["user"], newest["address"]) == ("login", "ada", "testclient")


def test_login_wrong_password_is_refused(console: Console, ada: TestClient) -> None:
    assert log_in(ada, "wrong password") == 403
    assert COOKIE not in ada.cookies
    assert wait_for_event(console, "login-failed")["user"] == "ada"


def test_login_unknown_name_is_not_recorded(console: Console, ada: TestClient) -> None:
    assert log_in(ada, name="my secret password") == 403
    assert wait_for_event(console, "login-failed")["user"] == ""


def test_login_opens_no_other_site(ada: TestClient) -> None:
    form = {"name": "ada", "password": PASSWORD, "next": "//evil.example/"}
    assert ada.post("/login", data=form).headers["location"] == "/"


def test_login_ten_thousand_attempts_lock(
    console: Console, ada: TestClient, wall: WallTime
) -> None:
    logins, refusals = console.accounts.logins, []
    for i in range(10_000):
        with pytest.raises(LoginRefusedError) as refused:
            logins.login("ada", f"guess {i}", "", "192.0.2.9")
        refusals.append(refused.value.retry_s)
    assert refusals[:5] == [0.0] * 5 and min(refusals[5:]) > 0
    assert len(logins.accounts) + len(logins.addresses) <= 2
    assert log_in(ada) == 429
    assert len(records_of(console)) < 10
    wall.now += 61
    assert log_in(ada) == 303


def test_login_many_addresses_stay_in_bounds(console: Console, ada: TestClient) -> None:
    logins = console.accounts.logins
    for i in range(10_000):
        logins.accounts.note_failure(f"name {i}", 0.0)
        logins.addresses.note_failure(f"10.0.{i // 256}.{i % 256}", 0.0)
    assert len(logins.accounts) == len(logins.addresses) == KEYS_MAX
    assert log_in(ada) == 303


def test_login_address_locks_over_all_names(ada: TestClient) -> None:
    answers = [log_in(ada, name=f"name{i}") for i in range(21)]
    assert answers == [403] * 20 + [429]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1::2", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_lockout_counts_networks(address: str, counted: str) -> None:
    assert client_network(address) == counted


def test_login_needs_code_of_authenticator(
    console: Console, ada: TestClient, wall: WallTime
) -> None:
    secret = pyotp.random_base32()
    console.accounts.users.update_totp(console.accounts.users.get("ada"), secret)
    code = pyotp.TOTP(secret).at(int(wall.now))
    assert log_in(ada) == 403
    assert log_in(ada, code=code) == 303
    assert log_in(ada, code=code) == 403, "a code is valid once"


def test_account_sets_up_authenticator(
    console: Console, client_of: Clients, wall: WallTime
) -> None:
    client, secret = client_of(Role.VIEWER), pyotp.random_base32()
    wrong = client.post("/account/totp", data={"secret": secret, "code": "000000"})
    right = {"secret": secret, "code": pyotp.TOTP(secret).at(int(wall.now))}
    assert wrong.status_code == 409 and secret in wrong.text
    assert client.post("/account/totp", data=right).status_code == 303
    assert console.accounts.users.get("viewer").totp == secret
    assert client.post("/account/totp", data=right).status_code == 409, "set once"


def test_account_changes_password(console: Console, ada: TestClient) -> None:
    log_in(ada)
    session = console.accounts.sessions.find(
        ada.cookies[COOKIE], console.accounts.wall(), is_active=False
    )
    assert session is not None
    new = "another horse battery"
    form = {"csrf": session.csrf, "old": "wrong", "password": new, "repeated": new}
    assert ada.post("/account/password", data=form).status_code == 403
    assert ada.post("/account/password", data={**form, "old": PASSWORD}).status_code == 303
    assert ada.get("/account").status_code == 200, "this browser has a new session"
    assert log_in(ada, new) == 303 and log_in(ada) == 403


class ResettingHasher(PasswordHasher):
    """Hasher during whose work a password is reset."""

    def __init__(self, reset: Callable[[], None]) -> None:
        super().__init__(time_cost=1, memory_kib=64)
        self._reset = reset

    def is_valid(self, stored: str | None, password: str) -> bool:
        """Return as the hasher, after the reset."""
        is_valid = super().is_valid(stored, password)
        self._reset()
        return is_valid


@pytest.mark.usefixtures("ada")
def test_login_ends_if_password_is_reset(console: Console, wall: WallTime) -> None:
    parts = console.accounts
    user = parts.users.get("ada")
    hasher = ResettingHasher(lambda: parts.users.update_password(user, None))
    logins = LoginService(parts.users, parts.sessions, parts.codes, hasher, parts.audit, wall, wall)
    with pytest.raises(LoginRefusedError):
        logins.login("ada", PASSWORD, "", "192.0.2.1")
    assert parts.sessions.count(user) == 0
