"""Tables of the gallery, and the upgrade from schema 1."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.names import name_key, unused_name
from edge.subject import PersonRights, SubjectRecord

log = logging.getLogger(__name__)

SCHEMA = 2
SCHEMA_V1 = "1"

# One counter in `meta` gives every row its number and every change its revision; none is used
# twice. Personal data is in `sealed` columns only. `tag` finds a subject by name. `erased` lists
# removed subjects for processes that hold them in memory.
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE subjects (
    id INTEGER PRIMARY KEY,
    tag BLOB NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX subjects_revision ON subjects (revision);
CREATE TABLE templates (
    id INTEGER PRIMARY KEY,
    subject INTEGER NOT NULL REFERENCES subjects ON DELETE CASCADE,
    model TEXT NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX templates_subject ON templates (subject);
CREATE TABLE chips (
    template INTEGER PRIMARY KEY REFERENCES templates ON DELETE CASCADE,
    sealed BLOB NOT NULL
);
CREATE TABLE erased (subject INTEGER PRIMARY KEY, revision INTEGER NOT NULL);
CREATE INDEX erased_revision ON erased (revision)
"""


# Raised for a damaged file. The second: the message of SQLite quotes bytes that are no text.
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)


LOCK_WAIT_S = 5.0
LOOP_LOCK_WAIT_S = 0.2  # in the recogniser's loop
_COMMON = ("foreign_keys=ON", "temp_store=MEMORY", "trusted_schema=OFF", "cell_size_check=ON")
_WRITER = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")


def connect(
    path: Path, *, read_only: bool = False, lock_wait_s: float = LOCK_WAIT_S
) -> sqlite3.Connection:
    """Open a database: durable on commit, deleted content overwritten. Raises sqlite3.Error.

    A read-only connection never makes a file, and never checkpoints a write-ahead log.
    """
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
        timeout=lock_wait_s,
        isolation_level=None,
        uri=True,
    )
    try:
        for pragma in (*(() if read_only else _WRITER), *_COMMON):
            db.execute(f"PRAGMA {pragma}")
    except BaseException:
        db.close()
        raise
    return db


def create_tables(db: sqlite3.Connection, meta: dict[str, str | int | bytes]) -> None:
    """Create the tables of an empty gallery, within the caller's transaction."""
    for statement in _TABLES.split(";"):
        db.execute(statement)
    db.executemany(
        "INSERT INTO meta VALUES (?, ?)",
        [("schema", SCHEMA), ("counter", 0), ("names", 1), *meta.items()],
    )


def read_meta(db: sqlite3.Connection) -> dict[str, object]:
    """Return the table `meta`; empty for an empty file."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchone():
        return {}
    return dict(db.execute("SELECT name, value FROM meta").fetchall())


Enroll = Callable[[str, SubjectRecord, NDArray[np.float32], str], object]


def upgrade_from_v1(
    db: sqlite3.Connection, key: bytes, meta: dict[str, str | int | bytes], enroll: Enroll
) -> None:
    """Upgrade from schema 1, within the caller's transaction.

    There, names were plain text, and each template was encrypted by the gallery key itself. Raises
    GalleryError if a row cannot be decrypted: no data is dropped silently.
    """
    old = read_meta(db)
    terminal, model = str(old["terminal"]), str(old["model"])
    cipher, context = AESGCM(key), f"mfsa-edge/1|{terminal}|{model}"

    def decrypt(subject: str, row: int, sealed: bytes) -> bytes:
        try:
            return cipher.decrypt(sealed[:12], sealed[12:], f"{context}|{row}|{subject}".encode())
        except (InvalidTag, ValueError, TypeError) as error:
            raise GalleryError(
                f"row {row} cannot be decrypted; go back to the version that made it"
            ) from error

    records = {
        subject: _record_v1(decrypt(subject, -1, sealed))
        for subject, sealed in db.execute("SELECT subject, sealed FROM subjects").fetchall()
    }
    templates: dict[str, list[NDArray[np.float32]]] = {}
    for row, subject, sealed in db.execute(
        "SELECT id, subject, sealed FROM templates ORDER BY id"
    ).fetchall():
        templates.setdefault(subject, []).append(
            np.frombuffer(decrypt(subject, row, sealed), "<f4")
        )
    for table in ("meta", "templates", "subjects"):
        db.execute(f"DROP TABLE {table}")
    create_tables(db, meta)
    names: set[str] = set()
    for subject, rows in templates.items():
        name = unused_name(subject, lambda other: name_key(other) in names)
        if name != subject:
            log.warning("a subject is renamed %r: its name was taken in another spelling", name)
        names.add(name_key(name))
        enroll(name, records.get(subject, SubjectRecord()), np.stack(rows), model)


def _record_v1(plain: bytes) -> SubjectRecord:
    rights = PersonRights(extended=bool(json.loads(plain)["extended"]))
    return SubjectRecord(unmoved_rights=rights if rights.extended else None)
