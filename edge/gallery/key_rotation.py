"""Rotation of the gallery key; after a crash at any moment one key opens the gallery."""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path

from edge.config import TerminalConfig
from edge.errors import GalleryError
from edge.gallery.confirmation import await_confirmation
from edge.gallery.database import Database, WrongKeyError
from edge.gallery.key import (
    KEY_BYTES,
    become_owner,
    create_key,
    has_gallery,
    read_key,
    run_as_owner,
)
from edge.gallery.maintenance import reencrypt
from edge.gallery.spelling import normalize_names
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import sync_folder


def rotate_key(config: TerminalConfig) -> None:
    """Encrypt the gallery by a new key.

    The new key is on disk before the gallery is encrypted by it, and replaces the old one
    afterwards; running this again completes an interrupted rotation. Raises GalleryError.
    """
    if not has_gallery(config):
        raise GalleryError(
            f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll"
        )
    if config.key is None:
        become_owner(config.state)
    path = config.key_path
    next_path = path.with_name(f"{path.name}.next")
    with acting_as_owner(path.parent):
        if not next_path.exists():
            create_key(next_path, secrets.token_bytes(KEY_BYTES))
        new_key = read_key(next_path)
    run_as_owner(
        config, lambda key: reencrypt_gallery(config.gallery_path, config.terminal, key, new_key)
    )
    try:
        with acting_as_owner(path.parent):
            next_path.replace(path)
            sync_folder(path.parent)
    except OSError as error:
        raise GalleryError(
            f"{path}: cannot be replaced: {error.strerror}; the gallery is encrypted by "
            f"{next_path}; run this again"
        ) from error


def confirm_rotation(config: TerminalConfig) -> None:
    """Wait until a running recogniser has read the gallery with the present key.

    Raises GalleryError if it does not: as a service it gets the key at its start only.
    """
    run_as_owner(config, lambda key: _await(config, key))


def _await(config: TerminalConfig, key: bytes) -> bytes:
    with closing(
        Database(config.gallery_path, key=key, terminal=config.terminal, read_only=True)
    ) as gallery:
        position = gallery.read_position()
    await_confirmation(config, position)
    return b""


def reencrypt_gallery(gallery: Path, terminal: str, key: bytes, new_key: bytes) -> bytes:
    """Encrypt all rows by the new key; if an earlier run did that, only compact the file."""
    try:
        opened = Database(gallery, key=key, terminal=terminal)
    except WrongKeyError:
        with closing(Database(gallery, key=new_key, terminal=terminal)) as gallery_file:
            gallery_file.compact()
        return b""
    with closing(opened):
        normalize_names(opened)
        reencrypt(opened, new_key)
    return b""
