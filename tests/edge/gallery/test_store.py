from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.errors import GalleryError
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore
from edge.subject import Consent, PersonRights, SubjectRecord

KEY = bytes(range(32))
Open = Callable[..., GalleryStore]
EVERYTHING = SubjectRecord(
    mask="any",
    liveness="no-challenge",
    consent=Consent(date(2026, 1, 1), "guard", "form 7, shelf 3"),
    erase_on=date(2027, 1, 1),
    unmoved_rights=PersonRights(("staff", "night"), date(2026, 1, 1), date(2026, 12, 31), True),
)


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def on_disk(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in folder.glob("gallery.db*"))


def change(folder: Path, *statements: str) -> None:
    """Change rows as an attacker without the key would."""
    with closing(sqlite3.connect(folder / "gallery.db")) as intruder, intruder:
        for statement in statements:
            intruder.execute(statement)


def test_enroll_returns_template_count(open_store: Open) -> None:
    assert open_store().enroll("Ada", rows(3), record=EVERYTHING) == 3
    (ada,) = open_store().read_subjects()
    assert ada.name == "Ada" and ada.record == EVERYTHING
    assert np.array_equal(ada.templates, rows(3))


def test_enroll_adds_or_replaces_templates(
    open_store: Open,
) -> None:
    store = open_store()
    store.enroll("Ada", rows(2), record=EVERYTHING)
    assert store.enroll("Ada", rows(1, seed=1)) == 3
    assert store.find_record("Ada") == EVERYTHING
    assert store.enroll("Ada", rows(1, seed=2), replace=True) == 1
    assert np.array_equal(store.load_templates()[1], rows(1, seed=2))


def test_files_contain_no_plain_text(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.enroll("Ada Lovelace", rows(2), record=EVERYTHING, chips=[b"a picture of Ada", None])
    content = on_disk(tmp_path)
    assert b"lobby" in content  # the search itself works
    for secret in (b"Lovelace", b"a picture", b"staff", b"shelf", b"2026-12-31"):
        assert secret not in content
    for template in rows(2):
        for kind in ("<f4", "<f2", "<f8"):
            assert template.astype(kind).tobytes()[:16] not in content
    assert [kept.chip for kept in store.list_templates("Ada Lovelace")] == [
        b"a picture of Ada",
        None,
    ]


def test_files_are_readable_by_owner_only(open_store: Open, tmp_path: Path) -> None:
    open_store().enroll("Ada", rows(1))
    assert {p.stat().st_mode & 0o077 for p in tmp_path.glob("gallery.db*")} == {0}


def test_open_with_other_key_is_refused(open_store: Open) -> None:
    open_store().enroll("Ada", rows(1))
    with pytest.raises(GalleryError, match="the key is not the one of this gallery"):
        open_store(key=bytes(32))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE templates SET subject = (SELECT max(id) FROM subjects)"
        " WHERE id = (SELECT min(id) FROM templates)",
        "UPDATE templates SET sealed = (SELECT max(sealed) FROM templates), model = model",
        "UPDATE templates SET sealed = zeroblob(100) WHERE id = (SELECT min(id) FROM templates)",
        "UPDATE templates SET sealed = x'' WHERE id = (SELECT min(id) FROM templates)",
        "UPDATE templates SET sealed = 7 WHERE id = (SELECT min(id) FROM templates)",
        "UPDATE templates SET id = 77 WHERE id = (SELECT min(id) FROM templates)",
        "UPDATE subjects SET sealed = (SELECT sealed FROM subjects ORDER BY id DESC)"
        " WHERE id = (SELECT min(id) FROM subjects)",
        "UPDATE subjects SET id = 78, revision = revision WHERE id = (SELECT min(id) FROM "
        "subjects)",
        "UPDATE subjects SET revision = 79 WHERE id = (SELECT min(id) FROM subjects)",
        "UPDATE subjects SET sealed = zeroblob(200) WHERE id = (SELECT min(id) FROM subjects)",
    ],
)
def test_changed_row_is_left_out(
    open_store: Open, tmp_path: Path, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    store.enroll("Ada", rows(1))
    store.enroll("Eve", rows(1, seed=1))
    before = {known.name: known.templates for known in store.read_subjects()}
    change(tmp_path, statement)
    left = [known for known in open_store().read_subjects() if len(known.templates)]
    assert all(np.array_equal(known.templates, before[known.name]) for known in left)
    assert len(left) == 1 and "left out" in caplog.text


@pytest.mark.parametrize(("field", "value"), [("terminal", "cellar"), ("model", "n" * 64)])
def test_open_other_terminal_or_model_is_refused(open_store: Open, field: str, value: str) -> None:
    open_store().enroll("Ada", rows(1))
    with pytest.raises(GalleryError, match=f"belongs to {field}"):
        open_store(**{field: value})


def test_templates_of_two_models_are_separate(open_store: Open) -> None:
    open_store().enroll("Ada", rows(2))
    other = open_store(model="n" * 64, allow_other_models=True)
    assert other.template_counts() == {"Ada": 0}
    other.enroll("Ada", rows(1, seed=5))
    assert open_store(model="n" * 64).template_counts() == {
        "Ada": 1
    } and open_store().template_counts() == {"Ada": 2}
    assert other.count_by_model() == {"m" * 64: 2, "n" * 64: 1}


def test_open_file_not_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gallery.db").write_text("hello" * 1000)
    with pytest.raises(GalleryError, match="cannot open the gallery"):
        GalleryStore(tmp_path / "gallery.db", key=KEY, terminal="lobby", model_digest="m")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM meta WHERE name = 'check'", "key check value is missing"),
        ("UPDATE meta SET value = 7 WHERE name = 'check'", "key check value is missing"),
        ("DELETE FROM meta WHERE name = 'counter'", "counter is missing"),
        ("UPDATE meta SET value = 'x' WHERE name = 'counter'", "counter is missing"),
        (
            "UPDATE meta SET value = -65022 WHERE name = 'counter'",
            "counter is missing",
        ),  # who is enrolled then is never seen
        ("UPDATE meta SET value = 9 WHERE name = 'schema'", "belongs to schema 9, expected 2"),
        ("DROP TABLE templates", "no such table"),
    ],
)
def test_enroll_damaged_gallery_is_refused(
    open_store: Open, tmp_path: Path, statement: str, message: str
) -> None:
    open_store().enroll("Ada", rows(1))
    change(tmp_path, statement)
    with pytest.raises(GalleryError, match=message):
        open_store().enroll("Eve", rows(1))


def test_enroll_interrupted_stores_nothing(open_store: Open) -> None:
    store = open_store()

    class Failing:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[np.ndarray]:
            yield rows(1)[0]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.enroll("Ada", Failing())  # type: ignore[arg-type]
    assert store.template_counts() == {}
    store.enroll("Ada", rows(1))
    assert store.template_counts() == {"Ada": 1}


def test_changes_list_new_and_erased_subjects(open_store: Open) -> None:
    store = open_store()
    store.enroll("Ada", rows(1))
    store.enroll("Eve", rows(1, seed=1))
    first = store.changes()
    number = {known.name: subject for subject, known in first.subjects.items() if known}
    assert store.changes(first.revision).subjects == {}
    store.update_attributes("Ada", EVERYTHING)
    store.remove("Eve")
    changes = store.changes(first.revision)
    assert changes.subjects[number["Eve"]] is None and len(changes.subjects) == 2
    ada = changes.subjects[number["Ada"]]
    assert ada is not None and ada.record == EVERYTHING and np.array_equal(ada.templates, rows(1))
    store.enroll("Eve", rows(1))
    assert (
        number["Eve"] not in store.changes(changes.revision).subjects
    )  # numbers are never used again


def test_refresh_sees_other_connection(open_store: Open) -> None:
    gallery = LiveGallery(open_store())
    assert gallery.search(rows(1)[0]) is None
    assert not gallery.refresh()
    open_store().enroll("Ada", rows(1), record=EVERYTHING)
    assert gallery.refresh()
    match = gallery.search(rows(1)[0])
    assert match is not None and match.subject == "Ada" and match.score == pytest.approx(1)
    assert gallery.find_record("Ada") == EVERYTHING


def test_remove_erases_rows_from_files(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.enroll("Ada", rows(2), chips=[bytes(range(256)) * 40, None])
    store.enroll("Eve", rows(2, seed=1))
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as peek:
        sealed = [
            row
            for (row,) in peek.execute(
                "SELECT sealed FROM templates UNION SELECT sealed FROM chips"
            )
        ]
        theirs = peek.execute("SELECT sealed FROM templates ORDER BY id DESC").fetchone()[0]
    tag = store.cipher.name_tag("Ada")
    assert all(row in on_disk(tmp_path) for row in sealed if len(row) < 1000) and tag in on_disk(
        tmp_path
    )
    assert store.remove("Ada") == 2
    assert store.remove("Ada") == 0
    left = on_disk(tmp_path)
    assert tag not in left and theirs in left and store.template_counts() == {"Eve": 2}
    assert [row[-64:] in left for row in sealed].count(True) == 2


def test_remove_reports_copy_left_in_log(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.enroll("Ada", rows(1))
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM templates").fetchone()
        store.db.execute("PRAGMA busy_timeout=50")
        with pytest.raises(
            GalleryError, match="is removed, but a sealed copy is still in the write-ahead log"
        ):
            store.remove("Ada")
    assert store.template_counts() == {} and store.remove("Ada") == 0


def test_expired_subjects_by_day(open_store: Open) -> None:
    store = open_store()
    for name, day in (("Ada", date(2027, 1, 1)), ("Eve", date(2027, 1, 2)), ("Joe", None)):
        store.enroll(name, rows(1), record=SubjectRecord(erase_on=day))
    assert store.expired_subjects(date(2026, 12, 31)) == []
    assert store.expired_subjects(date(2027, 1, 1)) == ["Ada"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 200, "a\nb"])
def test_enroll_invalid_name_is_refused(open_store: Open, name: str) -> None:
    with pytest.raises(GalleryError, match="expected a subject name"):
        open_store().enroll(name, rows(1))


def test_enroll_two_spellings_are_one_subject(open_store: Open) -> None:
    store = open_store()
    store.enroll("Zo\u00eb", rows(1))
    store.enroll("Zoe\u0308", rows(1))
    assert store.template_counts() == {"Zo\u00eb": 2}


def first_version(path: Path) -> None:
    """A gallery as version 1 wrote it."""

    def seal(plain: bytes, row: int, subject: str) -> bytes:
        nonce = bytes([row & 255] * 12)
        return nonce + AESGCM(KEY).encrypt(
            nonce, plain, f"mfsa-edge/1|lobby|{'m' * 64}|{row}|{subject}".encode()
        )

    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        db.execute(
            "CREATE TABLE templates (id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT,"
            " enrolled_at REAL, sealed BLOB)"
        )
        db.execute(
            "CREATE TABLE subjects (subject TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID"
        )
        meta = {
            "schema": "1",
            "terminal": "lobby",
            "model": "m" * 64,
            "key": seal(b"", 0, "").hex(),
        }
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        for row, (subject, template) in enumerate(
            zip(("Ada", "Ada", "Eve"), rows(3), strict=True), 1
        ):
            db.execute(
                "INSERT INTO templates VALUES (?, ?, 0, ?)",
                (row, subject, seal(template.tobytes(), row, subject)),
            )
        db.execute(
            "INSERT INTO subjects VALUES ('Eve', ?)",
            (seal(json.dumps({"extended": True}).encode(), -1, "Eve"),),
        )


def test_schema_1_is_upgraded_when_opened(open_store: Open, tmp_path: Path) -> None:
    first_version(tmp_path / "gallery.db")
    assert b"Ada" in on_disk(tmp_path)
    store = open_store()
    names, templates = store.load_templates()
    assert names == ["Ada", "Ada", "Eve"] and np.array_equal(templates, rows(3))
    assert (
        store.find_record("Eve") == SubjectRecord(unmoved_rights=PersonRights(extended=True))
        and store.find_record("Ada") == SubjectRecord()
    )
    assert b"Ada" not in on_disk(tmp_path)
    assert open_store().template_counts() == {"Ada": 2, "Eve": 1}


def test_schema_1_damaged_stays_unchanged(open_store: Open, tmp_path: Path) -> None:
    first_version(tmp_path / "gallery.db")
    change(tmp_path, "UPDATE templates SET sealed = x'00' WHERE id = 2")
    with pytest.raises(GalleryError, match="cannot be decrypted"):
        open_store()
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as db:
        assert db.execute("SELECT count(*) FROM templates").fetchone() == (3,)
    with pytest.raises(GalleryError, match="belongs to terminal"):
        open_store(terminal="cellar")
