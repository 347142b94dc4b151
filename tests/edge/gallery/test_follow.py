"""Running gallery whose file is replaced, rewritten, removed, damaged, locked or has a new key."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.access.reasons import Reason
from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery.confirmation import await_confirmation, read_confirmation, write_confirmation
from edge.gallery.database import WrongKeyError
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.maintenance import reencrypt
from edge.gallery.outage import GalleryOutage
from edge.gallery.store import GalleryStore
from edge.system.lockfile import acquire_lock

KEY, NEW_KEY = bytes(range(32)), bytes(32)
ADA, BOB, EVE = (row[None] for row in np.eye(3, 8, dtype=np.float32))


class Running:
    """Gallery that follows its file as in the recogniser, the file, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.path, self.now, self.keys = folder / "gallery.db", 100.0, [KEY]
        with closing(self.writer()) as store:
            store.enroll("Ada", ADA)
        shutil.copy(self.path, folder / "backup.db")
        with closing(self.writer()) as store:
            store.enroll("Bob", BOB)
        self.backup = folder / "backup.db"
        self.store = GalleryStore(
            self.path, key=KEY, terminal="lobby", model_digest="m" * 64, dimension=8,
            read_only=True, renew_key=lambda: self.keys[-1],
        )  # fmt: skip
        self.gallery = LiveGallery(self.store, clock=lambda: self.now)

    def writer(
        self, key: bytes = KEY, path: Path | None = None, terminal: str = "lobby"
    ) -> GalleryStore:
        return GalleryStore(path or self.path, key=key, terminal=terminal, model_digest="m" * 64)

    def later(self, seconds: float = 1.0) -> bool:
        self.now += seconds
        return self.gallery.refresh()

    @property
    def people(self) -> set[str]:
        rows = {"Ada": ADA, "Bob": BOB, "Eve": EVE}
        matches = {name: self.gallery.search(row[0]) for name, row in rows.items()}
        return {n for n, m in matches.items() if m and m.subject == n and m.score > 0.9}

    def remove_log_files(self) -> None:
        for ending in ("-wal", "-shm"):
            self.path.with_name(f"gallery.db{ending}").unlink(missing_ok=True)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    assert made.people == {"Ada", "Bob"}
    yield made
    made.store.close()


def rename_over(running: Running) -> None:
    running.remove_log_files()
    running.backup.replace(running.path)


def rename_over_with_log_left(running: Running) -> None:
    running.backup.replace(running.path)


def copy_over(running: Running) -> None:
    running.remove_log_files()
    shutil.copy(running.backup, running.path)


def without_log(running: Running) -> None:
    """Copy by `VACUUM INTO`, which has no write-ahead log."""
    copy = running.path.with_name("copy.db")
    with closing(sqlite3.connect(running.backup)) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    running.remove_log_files()
    copy.replace(running.path)


@pytest.mark.parametrize(
    "put_back", [rename_over, rename_over_with_log_left, copy_over, without_log]
)
def test_gallery_replaced_is_followed(running: Running, put_back: Callable[..., None]) -> None:
    before = running.gallery.revision
    put_back(running)
    assert running.later() and running.people == {"Ada"} and running.gallery.revision < before
    with closing(running.writer()) as store:
        store.remove("Ada")
    assert running.later() and running.people == set()


def test_gallery_replaced_by_a_newer_copy(running: Running) -> None:
    """The revisions of both are equal, the people are not."""
    running.remove_log_files()
    with closing(running.writer(path=running.backup)) as store:
        store.enroll("Eve", EVE)
    running.backup.replace(running.path)
    assert running.later() and running.people == {"Ada", "Eve"}


def test_log_removed_commits_are_followed(running: Running) -> None:
    running.remove_log_files()
    with closing(running.writer()) as store:
        store.remove("Ada")
        running.later()
        assert running.people == {"Bob"}
        store.remove("Bob")
        running.later()
    assert running.people == set() and not running.later()


def deleted(running: Running) -> None:
    running.path.unlink()


def link(running: Running) -> None:
    running.path.unlink()
    running.path.symlink_to(running.backup)


def another_terminal(running: Running) -> None:
    other = running.path.with_name("other.db")
    running.writer(path=other, terminal="cellar").close()
    other.replace(running.path)


def emptied(running: Running) -> None:
    os.truncate(running.path, 0)
    running.remove_log_files()


def cut(running: Running) -> None:
    os.truncate(running.path, running.path.stat().st_size // 2)
    running.remove_log_files()


def garbage(running: Running) -> None:
    running.path.write_bytes(b"no gallery " * 1000)
    running.remove_log_files()


def folder(running: Running) -> None:
    running.path.unlink()
    running.path.mkdir()


@pytest.mark.parametrize(
    "harm",
    [deleted, link, another_terminal, emptied, cut, garbage, folder],
    ids=lambda h: h.__name__,
)
def test_gallery_unreadable_raises_until_back(
    running: Running, harm: Callable[..., None], tmp_path: Path
) -> None:
    shutil.copy(running.path, tmp_path / "intact.db")
    harm(running)
    with pytest.raises(GalleryError, match=r"gallery\.db: "):
        running.later()
    with pytest.raises(GalleryError):  # also between two checks
        running.later(0.1)
    assert running.people == {"Ada", "Bob"}
    if running.path.is_dir():
        running.path.rmdir()
    running.remove_log_files()
    (tmp_path / "intact.db").replace(running.path)
    running.later()
    assert running.people == {"Ada", "Bob"} and not running.later(0.1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_gallery_without_permission_raises(running: Running) -> None:
    running.path.chmod(0)
    with pytest.raises(GalleryError):
        running.later()
    running.path.chmod(0o600)
    running.later()


def test_key_rotated_is_read_again(running: Running) -> None:
    with closing(running.writer()) as store:
        reencrypt(store, NEW_KEY)
    with pytest.raises(WrongKeyError, match="restart edge-daemon"):
        running.later()
    running.keys.append(NEW_KEY)
    assert running.later() and running.people == {"Ada", "Bob"}
    with closing(running.writer(NEW_KEY)) as store:
        store.remove("Ada")
    assert running.later() and running.people == {"Bob"}


def test_gallery_locked_does_not_hold_up(running: Running) -> None:
    """Another process locks the file: each check fails fast, and the last one succeeds."""
    rename_over(running)
    with closing(sqlite3.connect(running.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="locked"):
            running.later()
    assert running.later() and running.people == {"Ada"}


def test_refresh_aborted_empties_memory(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(running.writer()) as store:
        store.enroll("Eve", EVE)
        store.remove("Ada")
    with monkeypatch.context() as patch:
        patch.setattr(np, "arange", _no_memory)
        with pytest.raises(MemoryError):
            running.later()
    assert running.people == set() and running.gallery.templates == 0
    assert running.later() and running.people == {"Bob", "Eve"}


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_write_to_replaced_file_is_refused(running: Running) -> None:
    with closing(running.writer()) as store:
        rename_over(running)
        with pytest.raises(GalleryError, match="replaced during the work"):
            store.enroll("Eve", EVE)
        assert not store.template_counts().get("Eve")


def test_write_under_an_old_key_is_refused(running: Running) -> None:
    with closing(running.writer()) as store, closing(running.writer()) as other:
        reencrypt(other, NEW_KEY)
        with pytest.raises(WrongKeyError):
            store.enroll("Eve", EVE)
    with closing(running.writer(NEW_KEY)) as again:
        assert again.template_counts() == {"Ada": 1, "Bob": 1}


def test_outage_refuses_after_the_limit() -> None:
    outage = GalleryOutage(5.0, now=0.0)
    assert not outage.record_failure(GalleryError("gone"), 4.9) and outage.refusal is None
    assert (
        outage.record_failure(GalleryError("gone"), 5.0)
        and outage.refusal == Reason.GALLERY_UNREADABLE
    )
    assert (
        not outage.record_failure(WrongKeyError("key"), 6.0)
        and outage.refusal == Reason.GALLERY_KEY_CHANGED
    )
    assert outage.record_success(8.0) == 3.0 and outage.refusal is None
    assert outage.record_success(9.0) is None
    assert not outage.record_failure(GalleryError("gone"), 13.9)


class Waiting:
    """Clock that advances while a command waits, with events at given times."""

    def __init__(self, happens: Callable[[], object] = lambda: None) -> None:
        self.now, self.happens = 0.0, happens

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.happens()


def test_confirmation_is_waited_for(running: Running, config: TerminalConfig) -> None:
    lock = acquire_lock(config.daemon_lock_path, "edge-daemon", "instance")
    with closing(running.writer()) as store:
        store.remove("Ada")
        wanted = store.read_position()

    def follow() -> None:
        running.later()
        write_confirmation(config.gallery_confirmed_path, running.gallery.position)

    follows = Waiting(follow)
    await_confirmation(config, wanted, clock=lambda: follows.now, pause=follows.pause)
    assert read_confirmation(config.gallery_confirmed_path) == wanted and follows.now < 1
    with closing(running.writer()) as store:
        store.remove("Bob")
        later, stands = store.read_position(), Waiting()
    with pytest.raises(GalleryError, match=r"has not confirmed the change within 10 s.*restart"):
        await_confirmation(config, later, clock=lambda: stands.now, pause=stands.pause)
    os.close(lock)
    await_confirmation(config, later, clock=lambda: stands.now, pause=stands.pause)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"device": "1"}', b"[" * 5000])
def test_confirmation_damaged_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gallery.confirmed"
    path.write_bytes(content)
    assert read_confirmation(path) is None
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert read_confirmation(path) is None
