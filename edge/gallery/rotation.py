"""A fresh key for a gallery, which a crash at any moment leaves with one key that opens it."""

from __future__ import annotations

import os
import secrets
from contextlib import closing
from pathlib import Path

from edge.config import Terminal
from edge.durable import sync_folder
from edge.errors import GalleryError
from edge.gallery.care import seal_anew
from edge.gallery.database import Database
from edge.gallery.key import KEY_BYTES, become_owner, has_gallery, read_key, write_key


def rotate(config: Terminal) -> None:
    """The next key is on disk before the gallery is sealed by it, and takes the old one's place afterwards; what was interrupted is
    finished by running it again. Raises GalleryError."""
    if not has_gallery(config):
        raise GalleryError(
            f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll"
        )
    if config.key is None:
        become_owner(config.state)
    path = config.key_path
    following = path.with_name(f"{path.name}.next")
    if not following.exists():
        write_key(following, secrets.token_bytes(KEY_BYTES))
    key, fresh = read_key(path), read_key(following)
    _as_owner(config, key, fresh)
    try:
        following.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be replaced: {error.strerror}; the gallery is sealed by {following}, run this again"
        ) from error


def _as_owner(config: Terminal, key: bytes, fresh: bytes) -> None:
    """In a process that is the state's owner, so that this one stays root, who alone may write the key."""
    child = os.fork()
    if child == 0:
        try:
            become_owner(config.state)
            _seal(config.gallery_path, config.terminal, key, fresh)
        except GalleryError as error:
            os.write(2, f"edge-gallery: {error}\n".encode())
            os._exit(1)
        except BaseException as error:
            os.write(2, f"edge-gallery: {error!r}\n".encode())
            os._exit(2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        raise GalleryError(f"{config.key_path}: stays the gallery's key")


def _seal(gallery: Path, terminal: str, key: bytes, fresh: bytes) -> None:
    """Nothing to do where an earlier try came so far."""
    try:
        opened = Database(gallery, key=key, terminal=terminal)
    except GalleryError:
        Database(gallery, key=fresh, terminal=terminal).close()
        return
    with closing(opened):
        seal_anew(opened, fresh)
