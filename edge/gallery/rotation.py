"""A fresh key for a gallery, which a crash at any moment leaves with one key that opens it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edge.config import Terminal
from edge.durable import sync_folder
from edge.errors import GalleryError
from edge.gallery.care import seal_anew
from edge.gallery.confirmation import await_confirmation
from edge.gallery.database import Database, WrongKeyError
from edge.gallery.key import KEY_BYTES, become_owner, has_gallery, read_key, write_key
from edge.system.accounts import acting_as_owner

_MESSAGE_MAX = 4096  # bytes, fit into a pipe


def rotate(config: Terminal) -> None:
    """Seal the gallery by a fresh key.

    The next key is on disk before the gallery is sealed by it, and takes the old one's place
    afterwards; what was interrupted is finished by running it again. Raises GalleryError.
    """
    if not has_gallery(config):
        raise GalleryError(
            f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll"
        )
    if config.key is None:
        become_owner(config.state)
    path = config.key_path
    following = path.with_name(f"{path.name}.next")
    with acting_as_owner(path.parent):
        if not following.exists():
            write_key(following, secrets.token_bytes(KEY_BYTES))
        key, fresh = read_key(path), read_key(following)
    _as_owner(config, lambda: _seal(config.gallery_path, config.terminal, key, fresh))
    try:
        with acting_as_owner(path.parent):
            following.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be replaced: {error.strerror}; the gallery is sealed by {following}, run this again"
        ) from error


def confirm(config: Terminal) -> None:
    """Wait until a running recogniser has read the gallery under the present key.

    Raises GalleryError if it does not: as a service it gets the key at its start only.
    """
    with acting_as_owner(config.key_path.parent):
        key = read_key(config.key_path)
    _as_owner(config, lambda: _await(config, key))


def _await(config: Terminal, key: bytes) -> None:
    with closing(
        Database(config.gallery_path, key=key, terminal=config.terminal, read_only=True)
    ) as gallery:
        position = gallery.position()
    await_confirmation(config, position)


def _as_owner(config: Terminal, work: Callable[[], None]) -> None:
    """Work in a process that is the state's owner, so that this one stays root, who alone may
    write the key. Raises GalleryError with the message of the other process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        message, code = b"", 0
        try:
            become_owner(config.state)
            work()
        except GalleryError as error:
            message, code = str(error).encode(), 1
        except BaseException as error:
            message, code = repr(error).encode(), 2
        os.write(writing, message[:_MESSAGE_MAX])
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        message = file.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise GalleryError(message.decode() or "the process with the rights of the owner was ended")


def _seal(gallery: Path, terminal: str, key: bytes, fresh: bytes) -> None:
    """Seal everything by the fresh key; only look for leftovers if an earlier try did that."""
    try:
        opened = Database(gallery, key=key, terminal=terminal)
    except WrongKeyError:
        with closing(Database(gallery, key=fresh, terminal=terminal)) as sealed:
            sealed.compact()
        return
    with closing(opened):
        seal_anew(opened, fresh)
