"""One-time codes with which a user sets the first or a new password."""

from __future__ import annotations

from edge.console.accounts.database import AccountDatabase
from edge.console.accounts.secrets import digest, new_code, normalize_code
from edge.console.accounts.users import User

FIRST_LOGIN_S = 15 * 60.0  # code of the first administrator
INVITATION_S = 24 * 3600.0  # code of any other user


class OneTimeCodes:
    """Issues and redeems codes, stored as hashes; a user has one at most."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    def issue(self, user: User, now: float, lifetime_s: float) -> str:
        """Return a new code of a user; an earlier one becomes invalid."""
        code = new_code()
        self._database.change(
            "INSERT OR REPLACE INTO codes (user, digest, expires) VALUES (?, ?, ?)",
            user.id,
            digest(code),
            now + lifetime_s,
        )
        return code

    def find(self, code: str, now: float) -> int | None:
        """Return the id of the user of a valid code."""
        row = self._database.row(
            "SELECT user FROM codes WHERE digest = ? AND expires > ?",
            digest(normalize_code(code)),
            now,
        )
        return row["user"] if row else None

    def redeem(self, code: str, now: float) -> int | None:
        """Remove a valid code; return the id of its user, None if it is used or expired."""
        with self._database.transaction():
            user = self.find(code, now)
            if user is not None:
                self._database.change("DELETE FROM codes WHERE user = ?", user)
        return user
