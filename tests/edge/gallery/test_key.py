from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from edge.config import Terminal
from edge.errors import GalleryError
from edge.gallery.key import become_owner, load_key
from tests.processes import TIMEOUT_S

KEY = bytes(range(32))


def test_a_folder_of_another_account_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        "import os, sys; from pathlib import Path; from edge.config import load_config; from edge.gallery.key import enter\n"
        "config = load_config(Path(sys.argv[1])).model_copy(update={'key': Path(sys.argv[2])})\n"
        "print(enter(config).hex(), os.geteuid(), os.getgroups() == os.getgrouplist('nobody', os.getegid()))"
    )
    arguments = [
        sys.executable,
        "-c",
        code,
        str(config.state.parent / "terminal.yaml"),
        str(key_path),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    assert done.stdout.split() == [KEY.hex(), str(nobody.pw_uid), "True"]
    refusing = code.replace(
        "print(enter(config).hex(),", "\ntry: enter(config)\nexcept Exception: print('refused',"
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
        str(nobody.pw_uid),
        "True",
    ]  # no more root, also where it failed


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
