"""Enrolled templates in SQLite, each sealed by AES-256-GCM; another process may write while this one reads.

What is stored is biometric data, also when it is sealed: a template can be compared with any photo by whoever has key
and model. There are no pictures in here.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pwd
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from edge.config import Terminal
from edge.errors import GalleryError

log = logging.getLogger(__name__)

SCHEMA = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_CREDENTIAL = "gallery.key"
_SUBJECT_MAX = 128

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS templates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    enrolled_at REAL NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS templates_subject ON templates (subject);
CREATE TABLE IF NOT EXISTS subjects (subject TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
"""
_SUBJECT_ROW = -1  # in place of a template's number, where a subject's record is sealed


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """What is known of a subject beside the templates."""

    extended: bool = False  # the door stays open for `door.extended_s`


class Store:
    """The gallery of one terminal and one model; refuses any other by name."""

    def __init__(self, path: Path, *, key: bytes, terminal: str, model_digest: str) -> None:
        self._path = path
        self._cipher = AESGCM(key)
        self._context = f"mfsa-edge/{SCHEMA}|{terminal}|{model_digest}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # for nobody else, before SQLite would make it
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._prepare(terminal, model_digest)
        except (OSError, sqlite3.Error) as error:
            raise GalleryError(f"{path}: cannot open the gallery: {error}; check that the folder exists and is yours") from error

    def _prepare(self, terminal: str, model_digest: str) -> None:
        with self._writing():
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            if self._db.execute("SELECT count(*) FROM meta").fetchone()[0] == 0:
                rows = {"schema": str(SCHEMA), "terminal": terminal, "model": model_digest, "key": self._seal("", 0, b"").hex()}
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
        meta = dict(self._db.execute("SELECT name, value FROM meta").fetchall())
        for name, expected, mend in (
            ("schema", str(SCHEMA), "use the version that made it"),
            ("terminal", terminal, "set `terminal:` back, or enroll anew in another state folder"),
            ("model", model_digest, "templates of one model mean nothing to another: use that bundle again, or enroll anew"),
        ):
            if meta.get(name) != expected:
                raise GalleryError(
                    f"{self._path}: the gallery belongs to {name} {_short(meta.get(name))}, expected {_short(expected)}; {mend}"
                )
        try:
            self._open("", 0, bytes.fromhex(meta.get("key", "")))
        except (GalleryError, ValueError) as error:
            raise GalleryError(f"{self._path}: the key is not the one of this gallery; restore key and gallery together") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: whole or not at all, and on disk when the block has ended."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def add(self, subject: str, embeddings: NDArray[np.float32]) -> None:
        """Add templates (N,D) of one subject, all or none; durable on return. Raises GalleryError."""
        check_subject(subject)
        try:
            with self._writing():
                for embedding in embeddings:
                    cursor = self._db.execute(
                        "INSERT INTO templates (subject, enrolled_at, sealed) VALUES (?, ?, x'')", (subject, time.time())
                    )
                    row = int(cursor.lastrowid or 0)
                    sealed = self._seal(subject, row, np.asarray(embedding, "<f4").tobytes())
                    self._db.execute("UPDATE templates SET sealed = ? WHERE id = ?", (sealed, row))
        except sqlite3.Error as error:
            raise GalleryError(
                f"{self._path}: the templates of {subject!r} were not stored: {error}; nothing was changed"
            ) from error

    def remove(self, subject: str) -> int:
        """Remove every template of a subject, overwritten in the file; how many there were.

        Raises GalleryError, also where they are out of the gallery but an old copy is still in the write-ahead log.
        """
        try:
            with self._writing():
                removed = self._db.execute("DELETE FROM templates WHERE subject = ?", (subject,)).rowcount
                self._db.execute("DELETE FROM subjects WHERE subject = ?", (subject,))
        except sqlite3.Error as error:
            raise GalleryError(f"{self._path}: {subject!r} was not removed: {error}") from error
        try:
            kept = bool(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        except sqlite3.Error:
            kept = True
        if kept:
            raise GalleryError(
                f"{self._path}: {subject!r} is removed, but a sealed copy is still in the write-ahead log since another process "
                "reads or the disk is full; run the removal again"
            )
        return int(removed)

    def describe(self, subject: str, record: SubjectRecord) -> None:
        """Put a record in place of a subject's old one; durable on return. Raises GalleryError, also for a stranger."""
        sealed = self._seal(subject, _SUBJECT_ROW, json.dumps(asdict(record)).encode())
        try:
            with self._writing():
                if not self._db.execute("SELECT 1 FROM templates WHERE subject = ?", (subject,)).fetchone():
                    raise GalleryError(f"{subject!r} is not enrolled; edge-gallery list shows who is")
                self._db.execute("INSERT OR REPLACE INTO subjects VALUES (?, ?)", (subject, sealed))
        except sqlite3.Error as error:
            raise GalleryError(f"{self._path}: {subject!r} was not changed: {error}") from error

    def records(self) -> dict[str, SubjectRecord]:
        """Of all subjects that have one. One that was changed is left out and reported: that subject has no more than anybody.
        Raises GalleryError where the gallery cannot be read."""
        try:
            rows = self._db.execute("SELECT subject, sealed FROM subjects").fetchall()
        except sqlite3.Error as error:
            raise GalleryError(f"{self._path}: cannot read the gallery: {error}") from error
        records = {}
        for subject, sealed in rows:
            try:
                records[subject] = SubjectRecord(**json.loads(self._open(subject, _SUBJECT_ROW, sealed)))
            except (GalleryError, TypeError, ValueError) as error:
                log.error("record of %r left out: %s", subject, error)
        return records

    def subjects(self) -> dict[str, int]:
        """Templates per subject."""
        return dict(self._db.execute("SELECT subject, count(*) FROM templates GROUP BY subject ORDER BY subject").fetchall())

    def load(self) -> tuple[list[str], NDArray[np.float32]]:
        """Subjects and templates (N,D), row by row. A row that was changed is left out and reported: nobody gets in by it,
        and nobody else is kept out. Raises GalleryError where the gallery cannot be read."""
        subjects: list[str] = []
        rows: list[NDArray[np.float32]] = []
        try:
            sealed_rows = self._db.execute("SELECT id, subject, sealed FROM templates ORDER BY id").fetchall()
        except sqlite3.Error as error:
            raise GalleryError(f"{self._path}: cannot read the gallery: {error}") from error
        for row, subject, sealed in sealed_rows:
            try:
                rows.append(np.frombuffer(self._open(subject, row, sealed), "<f4"))
                subjects.append(subject)
            except GalleryError as error:
                log.error("%s", error)
        if len({len(row) for row in rows}) > 1:
            raise GalleryError(f"{self._path}: templates of different lengths; the gallery is damaged, restore it from a backup")
        return subjects, np.vstack(rows) if rows else np.zeros((0, 0), np.float32)

    def version(self) -> int:
        """Changes when another connection has committed; cheap enough for every frame."""
        try:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error as error:
            raise GalleryError(f"{self._path}: cannot read the gallery: {error}") from error

    def close(self) -> None:
        self._db.close()

    def _seal(self, subject: str, row: int, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, self._bound_to(subject, row))

    def _open(self, subject: str, row: int, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._bound_to(subject, row))
        except (InvalidTag, ValueError, TypeError) as error:
            raise GalleryError(
                f"{self._path}: template {row} cannot be unsealed: the row was changed; "
                f"enroll {subject!r} again or restore a backup"
            ) from error

    def _bound_to(self, subject: str, row: int) -> bytes:
        """Authenticated with each template, so that a row moved to another subject, terminal or model is refused."""
        return f"{self._context}|{row}|{subject}".encode()


def open_store(config: Terminal, model_digest: str, key: bytes) -> Store:
    """A terminal's gallery, made where there is none yet. Raises GalleryError."""
    return Store(config.gallery_path, key=key, terminal=config.terminal, model_digest=model_digest)


def enter(config: Terminal) -> bytes:
    """The gallery's key, made where there is no gallery yet; this process is `become_owner` afterwards, also where it raises.

    A key that lies apart from the state is read, or made, with the rights of root; one within belongs to the state's owner.
    """
    owner = _owner(config.state)
    if config.key is None:
        become_owner(config.state, owner)
    try:
        return load_key(config.key_path, create=not config.gallery_path.exists())
    finally:
        become_owner(config.state, owner)


def has_gallery(config: Terminal) -> bool:
    """Whether there is one; raises GalleryError where this is neither root nor the state's owner."""
    return _owner(config.state) is not None and config.gallery_path.exists()


def become_owner(state: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Root becomes the account of the state folder, for good: what root wrote there, the recogniser could not read, and
    photos and models are not read with more rights than they need. Raises GalleryError where this is neither of the two.
    """
    owner = owner or _owner(state)
    if owner is not None and owner.pw_uid != os.geteuid():
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)


def _owner(state: Path) -> pwd.struct_passwd | None:
    """The account of the state folder, None where there is none yet."""
    if not state.exists():
        return None
    uid = state.stat().st_uid
    try:
        owner = pwd.getpwuid(uid)
    except KeyError as error:
        raise GalleryError(f"{state}: belongs to user {uid}, whom this machine does not know; mend it with chown") from error
    if os.geteuid() not in (0, uid):
        raise GalleryError(f"{state}: belongs to the account {owner.pw_name}; run this with sudo")
    return owner


def check_subject(subject: str) -> None:
    """Raises GalleryError for a name that cannot be a subject."""
    if not subject.strip() or len(subject) > _SUBJECT_MAX or not subject.isprintable():
        raise GalleryError(f"expected a subject name of 1 to {_SUBJECT_MAX} printable characters, found {subject[:40]!r}")


def load_key(path: Path, *, create: bool) -> bytes:
    """The gallery's key: systemd's credential `gallery.key` if there is one, else a file only its owner can read.

    With `create` a missing file is made. Raises GalleryError where it is absent, readable by others or of another size.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (credential := Path(credentials) / _CREDENTIAL).is_file():
        return _read_key(credential)
    if not path.exists():
        if not create:
            raise GalleryError(f"{path}: no gallery key; it is made by the first edge-enroll")
        _create_key(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise GalleryError(f"{path}: others may read the gallery key (mode {mode:04o}); mend it with: chmod 600 {path}")
    return _read_key(path)


def _create_key(path: Path) -> None:
    """Whole or not at all, and never over another process's key."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except OSError as error:
        raise GalleryError(f"{path}: cannot make the gallery key: {error.strerror}; check that the folder is yours") from error
    finally:
        fresh.unlink(missing_ok=True)


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise GalleryError(f"{path}: cannot read the gallery key: {error.strerror}") from error
    if len(key) != _KEY_BYTES:
        raise GalleryError(f"{path}: expected a key of {_KEY_BYTES} bytes, found {len(key)}; restore the right file")
    return key


def _short(value: str | None) -> str:
    return "unknown" if value is None else value if len(value) <= 20 else f"{value[:12]}..."
