"""Gallery key, and the change from root to the account that owns the gallery."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery.identity import REMEDY
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import create_atomic
from edge.system.child_process import run_in_child

KEY_BYTES = 32
_CREDENTIAL = "gallery.key"
_PR_SET_DUMPABLE = 4


def load_key_and_drop_privileges(config: TerminalConfig, *, create: bool | None = None) -> bytes:
    """Return the gallery's key and become the owner of the state folder, also after an error.

    A key in a folder of root's is read, or made, with the rights of root; any other with those of
    its folder's owner. `create`: make a missing key; None: only if there is no gallery.
    Raises GalleryError.
    """
    owner = _owner(config.state)
    try:
        if create is None:
            with acting_as_owner(config.state):
                create = not os.path.lexists(config.gallery_path)
        with acting_as_owner(config.key_path.parent):
            return load_key(config.key_path, create=create)
    finally:
        become_owner(config.state, owner)
        disable_memory_dumps()  # after the change of accounts, which resets it


def run_as_owner(config: TerminalConfig, work: Callable[[bytes], bytes]) -> bytes:
    """Run `work` with the gallery's key as the owner of the state folder; return its result.

    Root uses a child process for that, and stays root. Raises ConfigError or MfsaError with the
    message of that process.
    """
    owner = _owner(config.state)
    if os.geteuid() != 0 or owner is None or owner.pw_uid == 0:
        return work(load_key_and_drop_privileges(config))
    return run_in_child(
        lambda: work(load_key_and_drop_privileges(config)),
        "the process that acts for the gallery's owner",
    )


def disable_memory_dumps() -> None:
    """Prevent core dumps, and reads of memory by other processes of the account (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def has_gallery(config: TerminalConfig) -> bool:
    """Return True if a gallery exists; raises GalleryError if this is neither root nor owner."""
    if _owner(config.state) is None:
        return False
    with acting_as_owner(config.state):
        return os.path.lexists(config.gallery_path)


def become_owner(state: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Change from root to the account of the state folder, for good.

    The recogniser could not read files of root, and photos and models need no rights of root.
    Raises GalleryError if this process is neither root nor that account.
    """
    owner = owner or _owner(state)
    if owner is not None and owner.pw_uid != os.geteuid():
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)


def _owner(state: Path) -> pwd.struct_passwd | None:
    """Return the account of the state folder, None if there is no folder yet."""
    if not state.exists():
        return None
    uid = state.stat().st_uid
    try:
        owner = pwd.getpwuid(uid)
    except KeyError as error:
        raise GalleryError(
            f"{state}: belongs to user {uid}, unknown on this machine; correct it with chown"
        ) from error
    if os.geteuid() not in (0, uid):
        raise GalleryError(f"{state}: belongs to the account {owner.pw_name}; run this with sudo")
    return owner


def load_key(path: Path, *, create: bool) -> bytes:
    """Return the key: systemd's credential `gallery.key` if given, else the file's content.

    `create`: make a missing file. Raises GalleryError for a missing file, one that other accounts
    can read, and one of another size.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (credential := Path(credentials) / _CREDENTIAL).is_file():
        return _read(credential, private=False)
    if not os.path.lexists(path):
        if not create:
            raise GalleryError(
                f"{path}: the gallery's key is missing; the first edge-enroll makes it; if a "
                f"gallery exists, {REMEDY}"
            )
        create_key(path, secrets.token_bytes(KEY_BYTES))
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Return the key of a file that only its owner can read; raises GalleryError."""
    return _read(path, private=True)


def create_key(path: Path, key: bytes) -> None:
    """Write a key file atomically unless it exists; on disk on return. Raises GalleryError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_atomic(path, key)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot make the gallery key: {error.strerror}; check that the folder is yours"
        ) from error


def _read(path: Path, *, private: bool) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise GalleryError(f"{path}: the gallery's key is not a regular file; {REMEDY}")
            mode = stat.S_IMODE(found.st_mode)
            if private and mode & 0o077:
                raise GalleryError(
                    f"{path}: other accounts may read the gallery's key (mode {mode:04o}); "
                    f"correct it with: chmod 600 {path}"
                )
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise GalleryError(f"{path}: cannot read the gallery's key: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        size = f"{len(key)} bytes" if len(key) <= KEY_BYTES else f"more than {KEY_BYTES}"
        raise GalleryError(
            f"{path}: expected a key of {KEY_BYTES} bytes, found {size}; restore the right file, "
            f"or {REMEDY}"
        )
    return key
