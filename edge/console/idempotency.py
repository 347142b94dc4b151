"""Idempotency keys of commands: a repeated request is answered, not executed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from edge.console.accounts.database import AccountDatabase
from edge.console.problem_error import ProblemError

KEY_MAX = 128  # characters
_KEEP_S = 24 * 3600.0
_ROWS_MAX = 10_000
_TABLE = """\
CREATE TABLE IF NOT EXISTS idempotency (
    user TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    created REAL NOT NULL,
    status INTEGER,
    answer TEXT,
    PRIMARY KEY (user, key)
) STRICT"""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """Answer to the first request with a key."""

    status: int
    body: Mapping[str, Any]


class IdempotencyStore:
    """Answers by user and key, for a day."""

    def __init__(self, database: AccountDatabase) -> None:
        self._database = database
        database.change(_TABLE)

    def begin(
        self, user: str, key: str, request: Mapping[str, Any], now: float
    ) -> StoredAnswer | None:
        """Return the answer to an earlier equal request; None for a new one, which is noted.

        Raises ProblemError if the key was used for another request, or if the earlier request has
        no answer: it is in progress, or the console was stopped during it.
        """
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
        with self._database.transaction():
            self._remove_old(now)
            row = self._database.row(
                "SELECT request, status, answer FROM idempotency WHERE user = ? AND key = ?",
                user,
                key,
            )
            if row is None:
                self._database.change(
                    "INSERT INTO idempotency (user, key, request, created) VALUES (?, ?, ?, ?)",
                    user,
                    key,
                    digest,
                    now,
                )
                return None
        if row["request"] != digest:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "Idempotency-Key: was used for another request; send a new key",
                "key-reused",
            )
        if row["status"] is None:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "Idempotency-Key: the first request with this key has no answer yet; if that "
                "lasts, look in the events whether the command was executed",
                "key-in-use",
            )
        return StoredAnswer(row["status"], json.loads(row["answer"]))

    def finish(self, user: str, key: str, answer: StoredAnswer) -> None:
        """Store the answer to a request."""
        self._database.change(
            "UPDATE idempotency SET status = ?, answer = ? WHERE user = ? AND key = ?",
            answer.status,
            json.dumps(answer.body),
            user,
            key,
        )

    def forget(self, user: str, key: str) -> None:
        """Remove a key whose request was not executed."""
        self._database.change("DELETE FROM idempotency WHERE user = ? AND key = ?", user, key)

    def _remove_old(self, now: float) -> None:
        self._database.change("DELETE FROM idempotency WHERE created < ?", now - _KEEP_S)
        self._database.change(
            "DELETE FROM idempotency WHERE rowid IN "
            "(SELECT rowid FROM idempotency ORDER BY created DESC LIMIT -1 OFFSET ?)",
            _ROWS_MAX,
        )
