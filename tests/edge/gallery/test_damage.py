"""Files and records that somebody else changed: each is refused in one sentence, and gives nobody a right."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import GalleryError
from edge.gallery import transfer
from edge.subject import SubjectRecord, from_json, to_json
from tests.edge.gallery.conftest import Open

ROW = np.full((1, 4), 0.5, np.float32)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize(
    "fields",
    [{"extended": "yes"}, {"groups": "staff"}, {"groups": [1]}, {"mask": "Any"}, {"liveness": 3}, {"pin": None}, {"consent": []},
     {"consent": {"given": "2026-01-01", "noted_by": 1}}, {"valid_from": "2026-02-30"}, {"erase_on": 5}, {"more": 1}],
    ids=str,
)  # fmt: skip
def test_a_record_that_holds_something_else_is_none(fields: dict[str, Any]) -> None:
    whole = json.loads(to_json("Ada", SubjectRecord()))
    with pytest.raises(GalleryError, match="cannot be read"):
        from_json(json.dumps({**whole, **fields}).encode())


def test_a_record_that_is_nested_without_end_is_none() -> None:
    with pytest.raises(GalleryError, match="cannot be read"):
        from_json(b"[" * 10_000)


def test_a_row_that_holds_no_bytes_can_be_removed(open_store: Open, tmp_path: Path) -> None:
    open_store().enroll("Ada", ROW, chips=[b"chip"])
    change(
        tmp_path / "gallery.db",
        "UPDATE templates SET sealed = 7",
        "UPDATE chips SET sealed = 'text'",
    )
    store = open_store()
    assert store.remove("Ada") == 1 and store.subjects() == {}


def test_a_schema_that_is_no_text_is_one_sentence(open_store: Open, tmp_path: Path) -> None:
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


def test_a_gallery_that_is_refused_is_not_held_open(open_store: Open, tmp_path: Path) -> None:
    open_store().close()
    change(tmp_path / "gallery.db", "DROP TABLE templates")
    with pytest.raises(GalleryError):
        open_store()
    held = [fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    assert tmp_path / "gallery.db" not in held


def test_a_chip_that_is_an_empty_text_is_one_without_bytes(
    open_store: Open, tmp_path: Path
) -> None:
    store = open_store()
    store.enroll("Ada", ROW, chips=[b""])
    transfer.export(store, tmp_path / "people", "a long passphrase")
    assert transfer.take(store, tmp_path / "people", "a long passphrase", replace=True).taken == 1
    assert [kept.chip for kept in store.kept("Ada")] == [b""]


def test_people_with_more_chips_than_templates_are_refused(
    open_store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.enroll("Ada", ROW, chips=[b"chip"])
    kept = store.kept("Ada")
    monkeypatch.setattr(store, "kept", lambda name: kept * 2)
    transfer.export(store, tmp_path / "people", "a long passphrase")
    with pytest.raises(GalleryError, match="another number of chips"):
        transfer.take(store, tmp_path / "people", "a long passphrase", replace=True)
