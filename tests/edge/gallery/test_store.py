from __future__ import annotations

import os
import pwd
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.config import Terminal
from edge.errors import GalleryError
from edge.gallery.search import Gallery
from edge.gallery.store import Store, SubjectRecord, become_owner, load_key

KEY = bytes(range(32))
Open = Callable[..., Store]


def rows(n: int, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    opened: list[Store] = []

    def make(key: bytes = KEY, terminal: str = "lobby", model: str = "m" * 64) -> Store:
        opened.append(Store(tmp_path / "gallery.db", key=key, terminal=terminal, model_digest=model))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def test_what_is_added_comes_back(open_store: Open) -> None:
    open_store().add("Ada", rows(3))
    subjects, templates = open_store().load()
    assert subjects == ["Ada"] * 3
    assert np.array_equal(templates, rows(3))


def test_no_template_is_readable_in_the_files(open_store: Open, tmp_path: Path) -> None:
    open_store().add("Ada", rows(2))
    on_disk = b"".join(p.read_bytes() for p in tmp_path.glob("gallery.db*"))
    assert b"Ada" in on_disk  # the search itself works
    for template in rows(2):
        for kind in ("<f4", "<f2", "<f8"):
            assert template.astype(kind).tobytes()[:16] not in on_disk


def test_the_files_belong_to_their_owner_only(open_store: Open, tmp_path: Path) -> None:
    open_store().add("Ada", rows(1))
    assert {p.stat().st_mode & 0o077 for p in tmp_path.glob("gallery.db*")} == {0}


def test_another_key_is_refused(open_store: Open) -> None:
    open_store().add("Ada", rows(1))
    with pytest.raises(GalleryError, match="the key is not the one of this gallery"):
        open_store(key=bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE templates SET subject = 'Eve' WHERE id = 1",
        "UPDATE templates SET sealed = (SELECT sealed FROM templates WHERE id = 2) WHERE id = 1",
        "UPDATE templates SET sealed = zeroblob(100) WHERE id = 1",
        "UPDATE templates SET sealed = x'' WHERE id = 1",
        "UPDATE templates SET id = 7 WHERE id = 1",
    ],
)
def test_a_changed_row_lets_nobody_in_and_keeps_nobody_out(
    open_store: Open, tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    open_store().add("Ada", rows(2))
    with sqlite3.connect(tmp_path / "gallery.db") as intruder:
        intruder.execute(change)
    intruder.close()
    subjects, templates = open_store().load()
    assert subjects == ["Ada"] and np.array_equal(templates[0], rows(2)[1])
    assert "cannot be unsealed" in caplog.text


@pytest.mark.parametrize(("field", "value"), [("terminal", "cellar"), ("model", "n" * 64)])
def test_a_foreign_gallery_is_refused_by_name(open_store: Open, field: str, value: str) -> None:
    open_store()
    with pytest.raises(GalleryError, match=f"belongs to {field}"):
        open_store(**{field: value})


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "gallery.db").write_text("hello" * 1000)
    with pytest.raises(GalleryError, match="cannot open the gallery"):
        Store(tmp_path / "gallery.db", key=KEY, terminal="lobby", model_digest="m")


def test_all_templates_of_one_call_or_none(open_store: Open) -> None:
    store = open_store()

    class Failing:
        def __iter__(self) -> Iterator[np.ndarray]:
            yield rows(1)[0]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add("Ada", Failing())  # type: ignore[arg-type]
    assert store.subjects() == {}
    store.add("Ada", rows(1))
    assert store.subjects() == {"Ada": 1}


def test_a_reader_sees_another_connection_s_change(open_store: Open) -> None:
    gallery = Gallery(open_store())
    assert gallery.search(rows(1)[0]) is None
    assert not gallery.refresh()
    open_store().add("Ada", rows(1))
    assert gallery.refresh()
    match = gallery.search(rows(1)[0])
    assert match is not None and match.subject == "Ada" and match.score == pytest.approx(1)


def test_removal_takes_the_rows_out_of_the_file(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.add("Ada", rows(2))
    with sqlite3.connect(tmp_path / "gallery.db") as peek:
        sealed = peek.execute("SELECT sealed FROM templates").fetchone()[0]
    peek.close()
    assert sealed in b"".join(p.read_bytes() for p in tmp_path.glob("gallery.db*"))
    assert store.remove("Ada") == 2
    assert store.remove("Ada") == 0
    assert sealed not in b"".join(p.read_bytes() for p in tmp_path.glob("gallery.db*"))


def test_erasure_is_not_claimed_while_a_copy_stays_in_the_log(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    store.add("Ada", rows(1))
    with sqlite3.connect(tmp_path / "gallery.db") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM templates").fetchone()
        store._db.execute("PRAGMA busy_timeout=50")
        with pytest.raises(GalleryError, match="still in the write-ahead log"):
            store.remove("Ada")
    reader.close()
    assert store.subjects() == {} and store.remove("Ada") == 0


def test_a_folder_of_another_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become_owner(tmp_path)
    become_owner(tmp_path / "none")
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(GalleryError, match="run this with sudo"):
        become_owner(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_reads_the_key_and_becomes_the_owner(config: Terminal) -> None:
    config.state.mkdir(mode=0o700)
    nobody = pwd.getpwnam("nobody")
    os.chown(config.state, nobody.pw_uid, nobody.pw_gid)
    key_path = config.state.parent / "gallery.key"
    key_path.write_bytes(KEY)
    key_path.chmod(0o600)
    code = (
        "import os, sys; from pathlib import Path; from edge.config import load_config; from edge.gallery.store import enter\n"
        "config = load_config(Path(sys.argv[1])).model_copy(update={'key': Path(sys.argv[2])})\n"
        "print(enter(config).hex(), os.geteuid(), os.getgroups() == os.getgrouplist('nobody', os.getegid()))"
    )
    arguments = [sys.executable, "-c", code, str(config.state.parent / "terminal.yaml"), str(key_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [KEY.hex(), str(nobody.pw_uid), "True"]
    refusing = code.replace("print(enter(config).hex(),", "\ntry: enter(config)\nexcept Exception: print('refused',")
    key_path.chmod(0o644)
    done = subprocess.run([*arguments[:2], refusing, *arguments[3:]], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["refused", str(nobody.pw_uid), "True"]  # no more root, also where it failed


def test_what_is_known_of_a_subject_is_sealed_and_bound_to_it(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    with pytest.raises(GalleryError, match="is not enrolled"):
        store.describe("Ada", SubjectRecord(extended=True))
    for name in ("Ada", "Eve"):
        store.add(name, rows(1))
    store.describe("Ada", SubjectRecord(extended=True))
    assert open_store().records() == {"Ada": SubjectRecord(extended=True)}
    gallery = Gallery(open_store())
    assert gallery.record("Ada").extended and not gallery.record("Eve").extended
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as db, db:
        db.execute("UPDATE subjects SET subject = 'Eve'")
    assert gallery.refresh() and not gallery.record("Eve").extended
    store.describe("Ada", SubjectRecord(extended=True))
    store.remove("Ada")
    assert "Ada" not in store.records()


@pytest.mark.parametrize("name", ["", "  ", "x" * 200, "a\nb"])
def test_names_that_are_none(open_store: Open, name: str) -> None:
    with pytest.raises(GalleryError, match="expected a subject name"):
        open_store().add(name, rows(1))


def test_the_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "gallery.key"
    with pytest.raises(GalleryError, match="no gallery key"):
        load_key(path, create=False)
    key = load_key(path, create=True)
    assert len(key) == 32 and load_key(path, create=True) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(GalleryError, match="chmod 600"):
        load_key(path, create=False)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(GalleryError, match="expected a key of 32 bytes, found 5"):
        load_key(path, create=False)
    (tmp_path / "gallery.key").write_bytes(KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load_key(path, create=False) == KEY
