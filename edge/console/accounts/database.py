"""SQLite database of users, sessions, one-time codes and API tokens."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.errors import AccountError, MfsaError
from edge.system.atomic_files import make_folder

NAME = "accounts.db"
VERSION = 1
_SCHEMA = """\
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    role TEXT NOT NULL,
    password TEXT,
    totp TEXT,
    totp_step INTEGER NOT NULL DEFAULT 0,
    disabled INTEGER NOT NULL DEFAULT 0,
    login_at REAL
) STRICT;
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    address TEXT NOT NULL,
    created REAL NOT NULL,
    seen REAL NOT NULL
) STRICT;
CREATE TABLE codes (
    user INTEGER PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    expires REAL NOT NULL
) STRICT;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    permissions TEXT NOT NULL,
    expires REAL NOT NULL,
    used REAL
) STRICT;
CREATE TABLE records (id INTEGER PRIMARY KEY, fields TEXT NOT NULL) STRICT;
"""


class AccountDatabase:
    """Connection that threads share; each statement or transaction runs alone.

    Errors of SQLite are raised as AccountError.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.RLock()
        with self._errors():
            make_folder(folder, 0o750)
            self._path.touch(mode=0o600)
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=5.0
            )
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._create()

    def _create(self) -> None:
        with self.transaction():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";\n")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise AccountError(
                    f"{self._path}: expected schema {VERSION}, found {version}; install the "
                    "version that wrote it, or restore a backup"
                )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the statements of a block completely or not at all; a block may contain another."""
        with self._lock, self._errors():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, statement: str, *values: Any) -> Sequence[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock, self._errors():
            return self._connection.execute(statement, values).fetchall()

    def row(self, statement: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row of a query, None if there is none."""
        return next(iter(self.rows(statement, *values)), None)

    def change(self, statement: str, *values: Any) -> int:
        """Run a statement; return how many rows it changed."""
        with self._lock, self._errors():
            return self._connection.execute(statement, values).rowcount

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, MfsaError):
                raise
            raise AccountError(
                f"{self._path}: cannot be used: {error}; check the folder, its rights and the disk"
            ) from error
