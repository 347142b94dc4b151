"""Fuzz targets of the gallery: its file, its rows, a subject's record, a file of people."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.errors import GalleryError
from edge.gallery import encrypted_file, export
from edge.gallery.database import EVIDENCE
from edge.gallery.encrypted_file import read_encrypted_file
from edge.gallery.export import EXPORT_MAGIC
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.maintenance import verify
from edge.gallery.store import GalleryStore
from edge.subject import Consent, PersonRights, SubjectRecord, from_json, to_json
from tests.fuzz.source import Source, corrupted, edited
from tests.fuzz.target import Run, Target, expect

_KEY, _TERMINAL, _MODEL = bytes(range(32)), "lobby", "m" * 64
_DIMENSIONS = 8
_RECORD = SubjectRecord(
    consent=Consent(date(2026, 1, 2), "root", "form 7"),
    erase_on=date(2027, 1, 1),
    unmoved_rights=PersonRights(("staff", "night"), valid_from=date(2026, 1, 1), extended=True),
)
_RULES = ImportPolicy(lambda: date(2026, 6, 1), consent_required=False, erase_after_days=None)
_PEOPLE = {"Ada": 2, "Eve": 1, "Bob": 3}
_SUBJECT = "(SELECT id FROM subjects ORDER BY id LIMIT 1 OFFSET :row)"
_TEMPLATE = "(SELECT id FROM templates ORDER BY id LIMIT 1 OFFSET :row)"
_META = "(SELECT name FROM meta ORDER BY name LIMIT 1 OFFSET :row)"
# Run on the file with values of the fuzzer: rows, meta, schema.
_STATEMENTS = (
    f"UPDATE subjects SET sealed = :value WHERE id = {_SUBJECT}",
    f"UPDATE subjects SET revision = :value WHERE id = {_SUBJECT}",
    f"UPDATE OR IGNORE subjects SET tag = :value WHERE id = {_SUBJECT}",
    f"UPDATE OR IGNORE subjects SET id = :number WHERE id = {_SUBJECT}",
    f"UPDATE templates SET sealed = :value WHERE id = {_TEMPLATE}",
    "UPDATE templates SET sealed = (SELECT sealed FROM templates ORDER BY id LIMIT 1 OFFSET :row)",
    "UPDATE templates SET subject = (SELECT id FROM subjects ORDER BY id LIMIT 1 OFFSET :row)",
    f"UPDATE templates SET model = :value WHERE id = {_TEMPLATE}",
    f"UPDATE OR IGNORE templates SET id = :number WHERE id = {_TEMPLATE}",
    "UPDATE chips SET sealed = :value",
    f"UPDATE meta SET value = :value WHERE name = {_META}",
    f"UPDATE meta SET name = :value WHERE name = {_META}",
    "DELETE FROM meta WHERE name = (SELECT name FROM meta ORDER BY name LIMIT 1 OFFSET :row)",
    "DELETE FROM subjects WHERE id = (SELECT id FROM subjects ORDER BY id LIMIT 1 OFFSET :row)",
    "INSERT OR IGNORE INTO erased VALUES (:number, :row)",
    "INSERT OR IGNORE INTO subjects VALUES (:number, :value, :row, :value)",
    "DROP TABLE templates",
    "DROP TABLE erased",
    "DROP TABLE chips",
    "ALTER TABLE subjects RENAME COLUMN sealed TO opened",
    "CREATE TRIGGER t AFTER INSERT ON subjects BEGIN DELETE FROM templates; END",
    "CREATE TRIGGER t BEFORE UPDATE ON meta BEGIN SELECT raise(ABORT, 'no'); END",
    "DROP TABLE meta; CREATE VIEW meta AS SELECT 'schema' AS name, 2 AS value",
    "DROP TABLE erased; CREATE VIEW erased AS SELECT randomblob(:row) AS subject, 1e9 AS revision",
    "PRAGMA journal_mode=DELETE",
    "PRAGMA user_version=7",
    "PRAGMA encoding='UTF-16'",
    "VACUUM",
)


def _template(name: str, number: int) -> np.ndarray:
    made = (
        np.random.default_rng(sum(name.encode()) + number)
        .standard_normal(_DIMENSIONS)
        .astype(np.float32)
    )
    return np.asarray(made / np.linalg.norm(made))


_TEMPLATES = {
    name: {_template(name, n).tobytes() for n in range(count)} for name, count in _PEOPLE.items()
}


def _open(path: Path) -> GalleryStore:
    return GalleryStore(path, key=_KEY, terminal=_TERMINAL, model_digest=_MODEL)


def _fill(path: Path) -> None:
    with closing(_open(path)) as store:
        for name, count in _PEOPLE.items():
            rows = np.stack([_template(name, n) for n in range(count)])
            store.enroll(
                name, rows, record=_RECORD, chips=[b"chip"] * count if name == "Bob" else ()
            )
        store.enroll("Gone", rows)
        store.remove("Gone")


def _value(source: Source, sealed: object) -> Any:
    kind = source.number(6)
    if kind < 2:
        return corrupted(sealed if isinstance(sealed, bytes) else b"", source)
    value = source.value()
    if isinstance(value, (dict, list)):
        return b""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value if not isinstance(value, int) or abs(value) < 1 << 63 else None


def _change(path: Path, source: Source) -> None:
    """Run one to three statements by another connection, as far as SQLite accepts them."""
    with (
        contextlib.suppress(sqlite3.Error),
        closing(sqlite3.connect(path, isolation_level=None)) as db,
    ):
        sealed = db.execute("SELECT sealed FROM subjects LIMIT 1").fetchone()
        for _ in range(1 + source.number(3)):
            with contextlib.suppress(sqlite3.Error):
                values = {"row": source.number(8), "number": source.number(64) - 8}
                values["value"] = _value(source, sealed[0] if sealed else b"")
                for statement in source.choose(_STATEMENTS).split(";"):
                    db.execute(
                        statement,
                        {key: value for key, value in values.items() if f":{key}" in statement},
                    )


def _authentic(name: str, templates: np.ndarray) -> None:
    """Check that rows changed without the key give access to no one."""
    for row in templates:
        expect(
            row.tobytes() in _TEMPLATES.get(name, set()),
            f"a template that was never enrolled for {name!r}",
        )


def _use(store: GalleryStore) -> None:
    """Call everything that daemon and commands use; each may raise GalleryError."""
    for ask in (
        store.template_counts,
        store.count_by_model,
        lambda: store.expired_subjects(date(2030, 1, 1)),
        lambda: store.read_secret(EVIDENCE),
        store.data_version,
    ):
        with contextlib.suppress(GalleryError):
            ask()
    with contextlib.suppress(GalleryError):
        for known in [*store.read_subjects(), *filter(None, store.changes(5).subjects.values())]:
            _authentic(known.name, known.templates)
            expect(known.record == _RECORD, "another record")
            store.list_templates(known.name)
    with contextlib.suppress(GalleryError):
        gallery = LiveGallery(store)
        match = gallery.search(_template("Ada", 0))
        expect(match is None or match.subject in _PEOPLE, "a stranger was found")
    expect(all(isinstance(finding, str) for finding in verify(store)), "findings that are no words")
    with contextlib.suppress(GalleryError):
        store.enroll("New", _template("New", 0)[None])
        expect("New" in store.template_counts(), "enrolled, and not there")
        store.remove("Ada")


def _open_file(folder: Path, at_end: ExitStack) -> Run:
    """Open a file with changed bytes, garbage, or rows changed by another program."""
    original, path = folder / "original.db", folder / "gallery.db"
    _fill(original)
    content = original.read_bytes()

    def run(data: bytes) -> None:
        source = Source(data)
        for old in folder.glob("gallery.db*"):
            old.unlink()
        mode = source.number(4)
        path.write_bytes(
            source.rest() if mode == 0 else corrupted(content, source) if mode == 1 else content
        )
        if mode > 1:
            _change(path, source)
        with contextlib.suppress(GalleryError):
            store = _open(path)
            try:
                _use(store)
            finally:
                store.close()

    return run


def _open_running(folder: Path, at_end: ExitStack) -> Run:
    """Follow a gallery while another program changes its rows."""
    original, path = folder / "original.db", folder / "gallery.db"
    _fill(original)
    content = original.read_bytes()

    def run(data: bytes) -> None:
        for old in folder.glob("gallery.db*"):
            old.unlink()
        path.write_bytes(content)
        with closing(_open(path)) as store:
            gallery = LiveGallery(store)
            source = Source(data)
            for _ in range(1 + source.number(2)):
                _change(path, source)
                with contextlib.suppress(GalleryError):
                    gallery.refresh()
                match = gallery.search(_template("Ada", 0))
                expect(match is None or match.subject in _PEOPLE, "a stranger was found")
                expect(
                    match is None or match.score < 0.99 or match.subject == "Ada",
                    "a template of another subject is accepted",
                )

    return run


def _tree() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json("Ada", _RECORD))
    return found


def _open_subject(folder: Path, at_end: ExitStack) -> Run:
    tree = _tree()

    def run(data: bytes) -> None:
        source = Source(data)
        mode = source.number(3)
        valid = json.dumps(tree).encode()
        text = (
            source.rest()
            if mode == 0
            else corrupted(valid, source)
            if mode == 1
            else _dumped(edited(tree, source))
        )
        with contextlib.suppress(GalleryError):
            name, record = from_json(text)
            expect(
                from_json(to_json(name, record)) == (name, record),
                "a record does not survive its own encoding",
            )
            expect(record.erase_on is None or isinstance(record.erase_on, date), "no date")
            rights = record.unmoved_rights or PersonRights()
            expect(
                all(isinstance(group, str) for group in rights.groups), "groups that are no words"
            )
            days = (rights.valid_from, rights.valid_until)
            expect(all(day is None or isinstance(day, date) for day in days), "no days")

    return run


def _dumped(tree: Any) -> bytes:
    try:
        return json.dumps(tree).encode()
    except ValueError:
        return b""


class _FixedKey:
    """Key derivation that is fast and always gives the same key."""

    def __init__(self, **_: object) -> None: ...

    def derive(self, passphrase: bytes) -> bytes:
        return _KEY


def _open_people(folder: Path, at_end: ExitStack) -> Run:
    """Open a file of people; the key is known, so that its decrypted content is fuzzed too."""
    path, store = folder / "people", _open(folder / "gallery.db")
    at_end.callback(store.close)
    at_end.callback(setattr, encrypted_file, "Scrypt", encrypted_file.Scrypt)
    encrypted_file.Scrypt = _FixedKey  # type: ignore[assignment,misc]
    template = base64.b64encode(_template("Ada", 0).tobytes()).decode()
    tree = {
        "model": _MODEL,
        "people": [
            {
                "subject": json.dumps(_tree()),
                "templates": [template, template],
                "chips": [None, None],
            }
        ],
    }
    magic, sealer = EXPORT_MAGIC, AESGCM(_KEY)

    def sealed(plain: bytes) -> bytes:
        return magic + bytes(28) + sealer.encrypt(bytes(12), plain, magic)

    def run(data: bytes) -> None:
        source = Source(data)
        mode = source.number(4)
        if mode == 0:
            path.write_bytes(source.rest())
        elif mode == 1:
            path.write_bytes(corrupted(sealed(json.dumps(tree).encode()), source))
        else:
            path.write_bytes(
                sealed(
                    _dumped(edited(tree, source))
                    if mode == 2
                    else corrupted(json.dumps(tree).encode(), source)
                )
            )
        with contextlib.suppress(GalleryError):
            file = read_encrypted_file(path)
            content = export.read_export(file, "a passphrase")
            export.import_people(store, content, _RULES, replace=True)
        for name in store.template_counts():  # imported people can be read and removed
            store.list_templates(name)
            store.remove(name)

    return run


_CHOICES = [bytes([n % 4, n, n, n % 7, n % 5, 3, n, 1, 2, 3, n]) for n in range(60)]

TARGETS = (
    Target(
        "gallery-file",
        "the gallery file with changed bytes, rows and tables",
        _open_file,
        lambda: [b"\0garbage", *_CHOICES],
    ),
    Target(
        "gallery-running",
        "the recogniser's gallery while rows are changed",
        _open_running,
        lambda: _CHOICES,
    ),
    Target(
        "subject",
        "a subject's decrypted attributes",
        _open_subject,
        lambda: [b"\0{}", b"\0" + b"[" * 3000, *_CHOICES],
    ),
    Target(
        "people",
        "files of `edge-gallery export`, including their encrypted content",
        _open_people,
        lambda: [b"\0x", *_CHOICES],
    ),
)
