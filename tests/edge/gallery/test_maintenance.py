from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.errors import GalleryError
from edge.gallery import maintenance, secure_delete
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.store import GalleryStore

Open = Callable[..., GalleryStore]
NEW_KEY = bytes(reversed(range(32)))


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def store(open_store: Open) -> GalleryStore:
    store = open_store()
    store.enroll("Ada", rows(2), chips=[b"picture" * 900, None])
    store.enroll("Eve", rows(2, seed=1))
    return store


def change(store: GalleryStore, *statements: str) -> None:
    with closing(sqlite3.connect(store.path)) as intruder, intruder:
        for statement in statements:
            intruder.execute(statement)


def test_verify_valid_gallery_has_no_findings(store: GalleryStore) -> None:
    assert maintenance.verify(store) == []
    store.remove("Ada")
    assert maintenance.verify(store) == [] and store.template_counts() == {"Eve": 2}


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "UPDATE subjects SET revision = 1000 WHERE id = (SELECT min(id) FROM subjects)",
            "cannot be decrypted",
        ),
        (
            "UPDATE subjects SET tag = x'00' WHERE id = (SELECT min(id) FROM subjects)",
            "the tag of another name",
        ),
        ("UPDATE templates SET subject = (SELECT max(id) FROM subjects)", "cannot be decrypted"),
        ("UPDATE chips SET sealed = zeroblob(40)", "cannot be decrypted"),
        (
            "UPDATE templates SET subject = 5000 WHERE id = (SELECT min(id) FROM templates)",
            "refers to a missing row",
        ),
        ("DROP TABLE chips", "cannot be read"),
    ],
)
def test_verify_finds_changed_rows(store: GalleryStore, statement: str, finding: str) -> None:
    change(store, statement)
    assert any(finding in found for found in maintenance.verify(store))


def test_compact_clears_dirty_free_pages(store: GalleryStore) -> None:
    change(
        store,
        "PRAGMA secure_delete=OFF",
        "CREATE TABLE old (x)",
        "INSERT INTO old VALUES (zeroblob(9000) || 'x')",
    )
    change(
        store,
        "PRAGMA secure_delete=OFF",
        "INSERT INTO old SELECT x || 'someone' FROM old",
        "DELETE FROM old",
        "DROP TABLE old",
    )
    assert any("is free and not empty" in found for found in maintenance.verify(store))
    store.compact()
    assert maintenance.verify(store) == []


def test_find_remnants_at_any_offset(tmp_path: Path) -> None:
    secret = np.random.default_rng(0).bytes(3000)
    path = tmp_path / "gallery.db"
    path.write_bytes(bytes(5000))
    assert not secure_delete.find_remnants(path, [secret])
    (tmp_path / "gallery.db-wal").write_bytes(bytes(100) + secret[1000:2000])
    assert secure_delete.find_remnants(path, [secret])


def test_reencrypt_changes_all_rows(
    store: GalleryStore, open_store: Open, caplog: pytest.LogCaptureFixture
) -> None:
    running = LiveGallery(open_store())
    maintenance.reencrypt(store, NEW_KEY)
    again = open_store(key=NEW_KEY)
    assert maintenance.verify(again) == [] and again.template_counts() == {"Ada": 2, "Eve": 2}
    assert again.list_templates("Ada")[0].chip == b"picture" * 900
    with pytest.raises(GalleryError, match="the key is not the one"):
        open_store()
    with pytest.raises(GalleryError, match="the key is not the one"):
        running.refresh()
    assert running.search(rows(1)[0]) is not None  # it goes on with what it knew
    assert "left out" not in caplog.text


def test_reencrypt_damaged_row_changes_nothing(store: GalleryStore, open_store: Open) -> None:
    change(store, "UPDATE chips SET sealed = zeroblob(40)")
    with pytest.raises(GalleryError, match="cannot be decrypted"):
        maintenance.reencrypt(store, NEW_KEY)
    assert open_store().template_counts() == {"Ada": 2, "Eve": 2}


def test_drop_model_keeps_other_templates(store: GalleryStore, open_store: Open) -> None:
    other = open_store(model="n" * 64, allow_other_models=True)
    other.enroll("Ada", rows(1))
    running = LiveGallery(open_store())
    assert running.templates == 4
    assert maintenance.drop_model(other, "m" * 64) == 4
    assert running.refresh() and running.templates == 0
    assert other.count_by_model() == {"n" * 64: 1} and other.template_counts() == {
        "Ada": 1,
        "Eve": 0,
    }
