"""Users of the console and their roles."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field

from edge.console.accounts.database import AccountDatabase
from edge.console.roles import Role
from edge.errors import AccountError

USER_STATES = ("active", "invited", "disabled")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """User of the console."""

    id: int
    name: str
    role: Role
    password: str | None = field(repr=False)  # Argon2 hash; None until the user sets one
    totp: str | None = field(repr=False)  # secret of the authenticator; None: not used
    is_disabled: bool
    login_at: float | None  # Unix seconds of the latest login

    @property
    def state(self) -> str:
        """One of `USER_STATES`."""
        if self.is_disabled:
            return "disabled"
        return "active" if self.password else "invited"


class UserStore:
    """Reads and changes users. Raises AccountError with the reason if a change is refused."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    def list_all(self) -> list[User]:
        """Return all users by name."""
        return [_user(row) for row in self._database.rows("SELECT * FROM users ORDER BY name")]

    def find(self, name: str) -> User | None:
        """Return a user by name, without regard to case."""
        row = self._database.row("SELECT * FROM users WHERE name = ?", name)
        return _user(row) if row else None

    def get(self, name: str) -> User:
        """Return a user by name; raises AccountError if there is none."""
        if (user := self.find(name)) is None:
            raise AccountError(f"user {name}: unknown; list all: edge-console user list")
        return user

    def by_id(self, number: int) -> User | None:
        row = self._database.row("SELECT * FROM users WHERE id = ?", number)
        return _user(row) if row else None

    def has_administrator(self) -> bool:
        """Return True if an administrator has set a password and is not disabled."""
        return any(
            user.role == Role.ADMINISTRATOR and user.state == "active" for user in self.list_all()
        )

    def add(self, name: str, role: Role) -> User:
        """Add a user without a password."""
        if not _NAME.fullmatch(name):
            raise AccountError(
                f"user {name!r}: expected 1 to 64 letters, digits and . _ @ -; choose another name"
            )
        if self.find(name) is not None:
            raise AccountError(f"user {name}: exists already; choose another name")
        self._database.change("INSERT INTO users (name, role) VALUES (?, ?)", name, role.value)
        return self.get(name)

    def update_role(self, user: User, role: Role) -> None:
        if role != Role.ADMINISTRATOR:
            self._check_not_last(user)
        self._database.change("UPDATE users SET role = ? WHERE id = ?", role.value, user.id)

    def update_disabled(self, user: User, disabled: bool) -> None:
        """Disable or enable a user; disabling ends the user's sessions and codes."""
        statement = "UPDATE users SET disabled = ? WHERE id = ?"
        with self._database.transaction():
            if disabled:
                self._check_not_last(user)
                self._end_access(user)
            self._database.change(statement, int(disabled), user.id)

    def update_password(self, user: User, password: str | None) -> None:
        """Set the hash of a password, or remove it; ends the user's sessions and codes."""
        statement = "UPDATE users SET password = ? WHERE id = ?"
        with self._database.transaction():
            self._end_access(user)
            self._database.change(statement, password, user.id)

    def update_totp(self, user: User, secret: str | None) -> None:
        """Set or remove the secret of the authenticator."""
        self._database.change(
            "UPDATE users SET totp = ?, totp_step = 0 WHERE id = ?", secret, user.id
        )

    def use_totp_step(self, user: User, step: int) -> bool:
        """Note the step of a code; return False if this or a later one was used before."""
        changed = self._database.change(
            "UPDATE users SET totp_step = ? WHERE id = ? AND totp_step < ?", step, user.id, step
        )
        return changed == 1

    def note_login(self, user: User, now: float) -> None:
        self._database.change("UPDATE users SET login_at = ? WHERE id = ?", now, user.id)

    def _end_access(self, user: User) -> None:
        self._database.change("DELETE FROM sessions WHERE user = ?", user.id)
        self._database.change("DELETE FROM codes WHERE user = ?", user.id)

    def _check_not_last(self, user: User) -> None:
        others = (each for each in self.list_all() if each.id != user.id)
        if user.role == Role.ADMINISTRATOR and not any(
            each.role == Role.ADMINISTRATOR and each.state == "active" for each in others
        ):
            raise AccountError(
                f"user {user.name}: is the last administrator; make another one first"
            )


def _user(row: sqlite3.Row) -> User:
    return User(
        row["id"],
        row["name"],
        Role(row["role"]),
        row["password"],
        row["totp"],
        bool(row["disabled"]),
        row["login_at"],
    )
