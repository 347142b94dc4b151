"""The gallery's key, and the account that may use it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import secrets
import stat
from pathlib import Path

from edge.config import Terminal
from edge.durable import sync_folder
from edge.errors import GalleryError

KEY_BYTES = 32
_CREDENTIAL = "gallery.key"
_PR_SET_DUMPABLE = 4


def enter(config: Terminal) -> bytes:
    """The gallery's key, made where there is no gallery yet; this process is `become_owner` afterwards, also where it raises.

    A key that lies apart from the state is read, or made, with the rights of root; one within belongs to the state's owner.
    """
    owner = _owner(config.state)
    if config.key is None:
        become_owner(config.state, owner)
    try:
        return load_key(config.key_path, create=not config.gallery_path.exists())
    finally:
        become_owner(config.state, owner)
        keep_memory_private()  # after the change of accounts, which sets it back


def keep_memory_private() -> None:
    """No core dump of this process is written, and no other process of its account may look into its memory (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def has_gallery(config: Terminal) -> bool:
    """Whether there is one; raises GalleryError where this is neither root nor the state's owner."""
    return _owner(config.state) is not None and config.gallery_path.exists()


def become_owner(state: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Root becomes the account of the state folder, for good: what root wrote there, the recogniser could not read, and
    photos and models are not read with more rights than they need. Raises GalleryError where this is neither of the two.
    """
    owner = owner or _owner(state)
    if owner is not None and owner.pw_uid != os.geteuid():
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)


def _owner(state: Path) -> pwd.struct_passwd | None:
    """The account of the state folder, None where there is none yet."""
    if not state.exists():
        return None
    uid = state.stat().st_uid
    try:
        owner = pwd.getpwuid(uid)
    except KeyError as error:
        raise GalleryError(
            f"{state}: belongs to user {uid}, whom this machine does not know; mend it with chown"
        ) from error
    if os.geteuid() not in (0, uid):
        raise GalleryError(f"{state}: belongs to the account {owner.pw_name}; run this with sudo")
    return owner


def load_key(path: Path, *, create: bool) -> bytes:
    """The gallery's key: systemd's credential `gallery.key` if there is one, else a file only its owner can read.

    With `create` a missing file is made. Raises GalleryError where it is absent, readable by others or of another size.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (credential := Path(credentials) / _CREDENTIAL).is_file():
        return _read(credential)
    if not path.exists():
        if not create:
            raise GalleryError(f"{path}: no gallery key; it is made by the first edge-enroll")
        write_key(path, secrets.token_bytes(KEY_BYTES))
    return read_key(path)


def read_key(path: Path) -> bytes:
    """A key of a file that only its owner can read; raises GalleryError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise GalleryError(f"{path}: cannot read the key: {error.strerror}") from error
    if mode & 0o077:
        raise GalleryError(
            f"{path}: others may read the gallery key (mode {mode:04o}); mend it with: chmod 600 {path}"
        )
    return _read(path)


def write_key(path: Path, key: bytes) -> None:
    """Whole or not at all, and never over another process's key; durable on return. Raises GalleryError."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
        sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot make the gallery key: {error.strerror}; check that the folder is yours"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise GalleryError(f"{path}: cannot read the gallery key: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise GalleryError(
            f"{path}: expected a key of {KEY_BYTES} bytes, found {len(key)}; restore the right file"
        )
    return key
