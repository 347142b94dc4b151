"""API tokens: hashed, with permissions and an end."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from edge.console.accounts.database import AccountDatabase
from edge.console.accounts.secrets import digest, new_token
from edge.console.roles import TOKEN_PERMISSIONS, Permission
from edge.errors import AccountError

PREFIX = "mfsa_"  # secret scanners find a leaked token by it
DAYS_MAX = 366
_DAY_S = 86400.0
_USED_S = 60.0  # between two writes of the time of use
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class ApiToken:
    """Stored data of a token. Times are Unix seconds."""

    id: int
    name: str
    owner: str  # user who made it
    permissions: frozenset[Permission]
    expires: float
    used: float | None


class TokenStore:
    """Makes, finds and revokes tokens. Raises AccountError if a token cannot be made."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database

    def make(
        self,
        name: str,
        owner: str,
        permissions: Iterable[Permission],
        days: int,
        now: float,
    ) -> str:
        """Store a new token; return its text, which is not stored."""
        chosen = sorted(each.value for each in TOKEN_PERMISSIONS & set(permissions))
        if not _NAME.fullmatch(name):
            raise AccountError(
                f"token {name!r}: expected 1 to 40 letters, digits and . _ -; choose another name"
            )
        if not chosen:
            raise AccountError(f"token {name}: has no permission; choose at least one")
        if not 1 <= days <= DAYS_MAX:
            raise AccountError(f"token {name}: expected 1 to {DAYS_MAX} days, found {days}")
        token = PREFIX + new_token()
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM tokens WHERE name = ?", name):
                raise AccountError(f"token {name}: exists already; choose another name")
            self._database.change(
                "INSERT INTO tokens (name, digest, owner, permissions, expires) "
                "VALUES (?, ?, ?, ?, ?)",
                name,
                digest(token),
                owner,
                " ".join(chosen),
                now + days * _DAY_S,
            )
        return token

    def find(self, token: str, now: float) -> ApiToken | None:
        """Return the stored data of a token that has not ended, and note its use."""
        row = self._database.row(
            "SELECT * FROM tokens WHERE digest = ? AND expires > ?", digest(token), now
        )
        if row is None:
            return None
        if now - (row["used"] or 0.0) > _USED_S:
            self._database.change("UPDATE tokens SET used = ? WHERE id = ?", now, row["id"])
        return _api_token(row)

    def list_all(self) -> list[ApiToken]:
        """Return all tokens by name."""
        rows = self._database.rows("SELECT * FROM tokens ORDER BY name")
        return [_api_token(row) for row in rows]

    def revoke(self, name: str) -> None:
        """Remove a token."""
        if not self._database.change("DELETE FROM tokens WHERE name = ?", name):
            raise AccountError(f"token {name}: unknown; it may have been revoked already")


def _api_token(row: sqlite3.Row) -> ApiToken:
    stored = set(row["permissions"].split())
    permissions = frozenset(each for each in TOKEN_PERMISSIONS if each.value in stored)
    return ApiToken(row["id"], row["name"], row["owner"], permissions, row["expires"], row["used"])
