"""Files and records with changed content: each is refused in one sentence and gives no rights."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import GalleryError
from edge.gallery import maintenance
from edge.gallery.encrypted_file import read_encrypted_file
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore
from edge.subject import PersonRights, SubjectRecord, from_json, to_json
from tests.edge.gallery.conftest import Open, import_file, write_export

ROW = np.full((1, 4), 0.5, np.float32)
RULES = ImportPolicy(lambda: date(2026, 11, 29), consent_required=False, erase_after_days=None)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize(
    "fields",
    [
        {"extended": "yes"},
        {"groups": "staff"},
        {"groups": [1]},
        {"mask": "Any"},
        {"liveness": 3},
        {"consent": []},
        {"consent": {"given": "2026-01-01", "noted_by": 1}},
        {"valid_from": "2026-02-30"},
        {"erase_on": 5},
        {"more": 1},
    ],
    ids=str,
)
def test_record_with_wrong_types_is_refused(fields: dict[str, Any]) -> None:
    valid = json.loads(to_json("Ada", SubjectRecord()))
    with pytest.raises(GalleryError, match="cannot be read"):
        from_json(json.dumps({**valid, **fields}).encode())


def test_record_of_0_2_0_loses_its_pin() -> None:
    valid = json.loads(to_json("Ada", SubjectRecord(mask="any")))
    assert from_json(json.dumps({**valid, "pin": "hash"}).encode()) == (
        "Ada",
        SubjectRecord(mask="any"),
    )


def test_record_of_0_2_0_keeps_its_rights() -> None:
    text = (
        '{"name": "Ada", "extended": true, "valid_from": null, "valid_until": "2031-01-01", '
        '"groups": ["staff"], "mask": "any", "liveness": "as-configured", "consent": null, '
        '"erase_on": null, "distinct": []}'
    )
    rights = PersonRights(("staff",), valid_until=date(2031, 1, 1), extended=True)
    record = SubjectRecord(mask="any", unmoved_rights=rights)
    assert from_json(text.encode()) == ("Ada", record)
    added = {"max_uses": None, "mode": None, "anti_passback_exempt": False}
    assert json.loads(to_json("Ada", record)) == {**json.loads(text), **added}


def test_record_nested_too_deep_is_refused() -> None:
    with pytest.raises(GalleryError, match="cannot be read"):
        from_json(b"[" * 10_000)


def test_remove_row_without_bytes_is_erased(open_store: Open, tmp_path: Path) -> None:
    open_store().enroll("Ada", ROW, chips=[b"chip"])
    change(
        tmp_path / "gallery.db",
        "UPDATE templates SET sealed = 7",
        "UPDATE chips SET sealed = 'text'",
    )
    store = open_store()
    assert store.remove("Ada") == 1 and store.template_counts() == {}


def test_open_schema_not_text_is_refused(open_store: Open, tmp_path: Path) -> None:
    """SQLite quotes the bytes in its message, and Python cannot read that."""
    store = open_store()
    store.enroll("Ada", ROW)
    store.close()
    path = tmp_path / "gallery.db"
    content = path.read_bytes()
    assert content.count(b"tableerased") == 1
    path.write_bytes(content.replace(b"tableerased", b"table\xff\xaeased"))
    with pytest.raises(GalleryError, match="cannot open the gallery"):
        open_store()


def test_open_refused_leaves_no_lock(open_store: Open, tmp_path: Path) -> None:
    open_store().close()
    change(tmp_path / "gallery.db", "DROP TABLE templates")
    with pytest.raises(GalleryError):
        open_store()
    held = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert tmp_path / "gallery.db" not in held


def test_export_chip_empty_text_is_empty_bytes(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.enroll("Ada", ROW, chips=[b""])
    write_export(store, tmp_path / "people", "a long passphrase")
    file = read_encrypted_file(tmp_path / "people")
    assert import_file(store, file, "a long passphrase", RULES, replace=True).imported == ("Ada",)
    assert [kept.chip for kept in store.list_templates("Ada")] == [b""]


@pytest.mark.parametrize(
    "row",
    [ROW * 2, ROW * np.nan, ROW * np.inf, np.zeros((1, 4)), np.full((1, 1), 1.0), np.zeros((1, 0))],
)
def test_template_damaged_is_left_out(
    open_store: Open, row: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a row may be in a gallery of an earlier version."""
    store = open_store()
    store.enroll("Bob", row.astype(np.float32))
    store.enroll("Ada", ROW, replace=True)
    for reader in (open_store(), open_store(dimension=4, read_only=True)):
        assert reader.template_counts() == {"Ada": 1, "Bob": 0}
        gallery = LiveGallery(reader)
        match = gallery.search(ROW[0])
        assert match is not None and match.subject == "Ada" and gallery.templates == 1
    assert "left out: template 3: " in caplog.text and "Bob" not in caplog.text
    assert len(maintenance.verify(store)) == (1 if row.size != 1 else 0)


def test_live_gallery_other_dimension_is_empty(open_store: Open) -> None:
    """The model decides what is right, not the majority."""
    open_store().enroll("Bob", np.eye(2, 3, dtype=np.float32))
    gallery = LiveGallery(open_store(dimension=4))
    assert gallery.templates == 0 and gallery.search(ROW[0]) is None


def test_name_damaged_is_left_out(open_store: Open, caplog: pytest.LogCaptureFixture) -> None:
    store = open_store()
    store.enroll("Ada", ROW)
    with store.write_transaction("test"):
        store.write_subject("a\nb", SubjectRecord(), ROW, store.model)
    assert store.template_counts() == {"Ada": 1} and "subject 5: its name is invalid" in caplog.text
    assert maintenance.verify(store) == ["subject 5: its name is invalid"]


def test_export_leaves_damaged_templates_out(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.enroll("Ada", np.concatenate([ROW * 2, ROW]), chips=[b"one", b"two"])
    write_export(store, tmp_path / "people", "a long passphrase")
    file = read_encrypted_file(tmp_path / "people")
    assert import_file(store, file, "a long passphrase", RULES, replace=True).imported == ("Ada",)
    assert [kept.chip for kept in store.list_templates("Ada")] == [b"two"]


def test_full_disk_is_named_as_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message does not recommend a backup: the gallery is intact."""
    (tmp_path / "gallery.db").write_text("hello" * 1000)
    full = os.statvfs_result((4096, 4096, 100, 0, 0, 100, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(GalleryError, match="the disk is full: make room") as refused:
        GalleryStore(
            tmp_path / "gallery.db", key=bytes(32), terminal="lobby", model_digest="m" * 64
        )
    assert "restore" not in str(refused.value)
