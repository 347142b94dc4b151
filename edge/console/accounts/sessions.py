"""Sessions of logged-in users, stored on the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.console.accounts.database import AccountDatabase
from edge.console.accounts.secrets import csrf_token, digest, new_token
from edge.console.accounts.users import User

_SEEN_S = 20.0  # between two writes of the time of the latest request
_CLOCK_S = 60.0  # a session that is this much in the future is of a wrong clock


@dataclass(frozen=True, slots=True)
class Session:
    """Session of a request."""

    token: str = field(repr=False)
    user: int
    csrf: str = field(repr=False)  # token that forms send


class SessionStore:
    """Sessions that end after `idle_s` without a request, and `session_s` after the login.

    Times are Unix seconds.
    """

    def __init__(self, database: AccountDatabase, idle_s: float, session_s: float) -> None:
        self._database = database
        self._idle_s, self._session_s = idle_s, session_s

    def start(self, user: User, address: str, now: float) -> Session:
        """Start a session; expired ones are removed."""
        token = new_token()
        with self._database.transaction():
            self._database.change(
                "DELETE FROM sessions WHERE seen < ? OR created < ? OR seen > ?",
                now - self._idle_s,
                now - self._session_s,
                now + _CLOCK_S,
            )
            self._database.change(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?)",
                digest(token),
                user.id,
                address,
                now,
                now,
            )
        return Session(token, user.id, csrf_token(token))

    def find(self, token: str, now: float, *, is_active: bool) -> Session | None:
        """Return a session that has not ended; an `is_active` request restarts its idle time."""
        row = self._database.row("SELECT * FROM sessions WHERE digest = ?", digest(token))
        if row is None:
            return None
        if not (
            now - self._idle_s <= row["seen"] <= now + _CLOCK_S
            and now - self._session_s <= row["created"]
        ):
            self.end(token)
            return None
        if is_active and now - row["seen"] > min(_SEEN_S, self._idle_s / 2):
            self._database.change(
                "UPDATE sessions SET seen = ? WHERE digest = ?", now, row["digest"]
            )
        return Session(token, row["user"], csrf_token(token))

    def end(self, token: str) -> None:
        self._database.change("DELETE FROM sessions WHERE digest = ?", digest(token))

    def end_others(self, session: Session) -> None:
        """End all sessions of the user except this one."""
        self._database.change(
            "DELETE FROM sessions WHERE user = ? AND digest != ?",
            session.user,
            digest(session.token),
        )

    def count(self, user: User) -> int:
        """Return how many sessions a user has."""
        return len(self._database.rows("SELECT 1 FROM sessions WHERE user = ?", user.id))
