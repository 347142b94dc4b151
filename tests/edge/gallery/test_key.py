from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edge.cli import audit
from edge.config import TerminalConfig
from edge.config.relay import FileRelayConfig
from edge.door.hardware import DoorOutputs, save_outputs
from edge.errors import GalleryError, MfsaError
from edge.gallery import key_rotation
from edge.gallery.database import Database
from edge.gallery.enrollment.journal import EnrollmentJournal
from edge.gallery.key import become_owner, load_key, load_key_and_drop_privileges, run_as_owner
from edge.gallery.store import GalleryStore, read_evidence_key
from edge.gallery.stored_subjects import read_subjects
from edge.system.lockfile import acquire_lock
from tests.processes import TIMEOUT_S

KEY = bytes(range(32))
LINES = DoorOutputs(relay=FileRelayConfig(kind="file", path=Path("relay")))


def test_owner_of_other_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    become_owner(tmp_path)
    become_owner(tmp_path / "none")
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(GalleryError, match="run this with sudo"):
        become_owner(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its account")
def test_root_reads_key_and_becomes_owner(config: TerminalConfig) -> None:
    config.state.mkdir(mode=0o700)
    account = pwd.getpwnam("nobody")
    os.chown(config.state, account.pw_uid, account.pw_gid)
    key_path = config.state.parent / "gallery.key"
    key_path.write_bytes(KEY)
    key_path.chmod(0o600)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from edge.config import load_config\n"
        "from edge.gallery.key import load_key_and_drop_privileges as load\n"
        "config = load_config(Path(sys.argv[1])).model_copy(update={'key': Path(sys.argv[2])})\n"
        "print(load(config).hex(), os.geteuid(),"
        " os.getgroups() == os.getgrouplist('nobody', os.getegid()))"
    )
    arguments = [
        sys.executable,
        "-c",
        code,
        str(config.state.parent / "terminal.yaml"),
        str(key_path),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stdout.split() == [KEY.hex(), str(account.pw_uid), "True"]
    refusing = code.replace(
        "print(load(config).hex(),", "\ntry: load(config)\nexcept Exception: print('refused',"
    )
    key_path.chmod(0o644)
    done = subprocess.run(
        [*arguments[:2], refusing, *arguments[3:]],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stdout.split() == [
        "refused",
        str(account.pw_uid),
        "True",
    ]  # no more root, also where it failed


def test_load_key_checks_mode_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state" / "gallery.key"
    with pytest.raises(GalleryError, match="key is missing"):
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


def give_to_unprivileged(config: TerminalConfig) -> pwd.struct_passwd:
    """State folder of an account without rights; the key is elsewhere, for root only."""
    account = pwd.getpwnam("nobody")
    for place in (config.state.parent, *config.state.parents):
        if place == Path("/tmp"):
            break
        place.chmod(0o755)
    for place in (config.state, *config.state.rglob("*")):
        os.chown(place, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return account


def made(config: TerminalConfig) -> TerminalConfig:
    """A gallery with one person."""
    key = load_key(config.key_path, create=True)
    with closing(
        GalleryStore(config.gallery_path, key=key, terminal=config.terminal, model_digest="m" * 64)
    ) as store:
        store.enroll("Ada", np.eye(1, 16, dtype=np.float32))
    return config


def in_child(work: Callable[[], object]) -> str:
    """Run a function that may give up root in a child process; return its result or error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = repr(work())
        except BaseException as error:
            result = str(error)
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        result = file.read()
    os.waitpid(child, 0)
    return result


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its account")
def test_owner_works_for_root_that_stays_root(config: TerminalConfig, tmp_path: Path) -> None:
    made(config)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    config.key_path.rename(private / "gallery.key")
    apart = config.model_copy(update={"key": private / "gallery.key"})
    account = give_to_unprivileged(config)
    seen = run_as_owner(apart, lambda key: f"{os.geteuid()} {len(key)}".encode())
    assert seen.decode() == f"{account.pw_uid} 32" and os.geteuid() == 0

    def fail(key: bytes) -> bytes:
        raise GalleryError("the reason")

    with pytest.raises(MfsaError, match="the reason"):
        run_as_owner(apart, fail)
    assert "Ada" in in_child(lambda: rotated(apart)) and os.geteuid() == 0
    assert (private / "gallery.key").stat().st_uid == 0


def rotated(config: TerminalConfig) -> dict[str, int]:
    key_rotation.rotate_key(config)
    key = load_key(config.key_path, create=False)
    with closing(Database(config.gallery_path, key=key, terminal=config.terminal)) as gallery:
        return {person.name: len(person.templates) for person in read_subjects(gallery, print)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open what others cannot")
@pytest.mark.parametrize("name", ["gallery.db", "gallery.key", "daemon.lock", "gallery.key.next"])
def test_root_follows_no_link_in_the_state(
    config: TerminalConfig, tmp_path: Path, name: str
) -> None:
    """An account that was taken over puts a link to a file of root's into its folder."""
    made(config)
    target = tmp_path / "root-only"
    target.mkdir(mode=0o700)
    victim = target / "victim"
    victim.write_bytes(b"" if name in ("gallery.db", "daemon.lock") else KEY)
    victim.chmod(0o600)
    if name == "daemon.lock":
        victim.unlink()  # it must not be made either
    (config.state / name).unlink(missing_ok=True)
    (config.state / name).symlink_to(victim)
    before = victim.read_bytes() if victim.exists() else None
    give_to_unprivileged(config)
    for work in (read_evidence_key, load_key_and_drop_privileges, key_rotation.rotate_key, locked):
        in_child(lambda work=work: work(config))  # type: ignore[misc]
        assert (victim.read_bytes() if victim.exists() else None) == before
        assert len(list(target.iterdir())) == (0 if before is None else 1)
        assert (config.state / name).is_symlink() or name == "gallery.key"
    if name in ("gallery.db", "gallery.key"):
        assert "gallery" in in_child(lambda: read_evidence_key(config)).lower()


def export_records(path: Path) -> int:
    config = str(path.parent.parent / "terminal.yaml")
    return audit.main(["export", "--record", "decisions", "--out", str(path), "--config", config])


def locked(config: TerminalConfig) -> None:
    os.close(acquire_lock(config.daemon_lock_path, "edge-daemon", "instance"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its account")
def test_lock_file_of_root_is_the_owners(config: TerminalConfig) -> None:
    config.state.mkdir(mode=0o700)
    account = give_to_unprivileged(config)
    in_child(lambda: locked(config))
    assert config.daemon_lock_path.stat().st_uid == account.pw_uid


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_key_of_another_kind_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gallery.key"
    os.mkfifo(path, 0o600) if kind == "fifo" else path.mkdir()
    with pytest.raises(GalleryError, match="gallery's key"):
        load_key(path, create=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can open what others cannot")
@pytest.mark.parametrize(
    "make",
    [EnrollmentJournal, lambda path: save_outputs(LINES, path), export_records],
    ids=["report", "wiring", "export"],
)
def test_root_makes_no_file_through_a_link(
    config: TerminalConfig, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    target = tmp_path / "root-only"
    target.mkdir(mode=0o700)
    config.state.mkdir(mode=0o700)
    for name in ("file", "file.fresh", ".file.part"):
        (config.state / name).symlink_to(target / "victim")
    give_to_unprivileged(config)
    in_child(lambda: make(config.state / "file"))
    assert not list(target.iterdir())
