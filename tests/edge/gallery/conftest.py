from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.gallery.encrypted_file import EncryptedFile, write_encrypted_file
from edge.gallery.export import ImportResult, build_export, import_people, read_export
from edge.gallery.import_policy import ImportPolicy
from edge.gallery.store import GalleryStore

KEY = bytes(range(32))
Open = Callable[..., GalleryStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Function that opens a further connection to one gallery."""
    opened: list[GalleryStore] = []

    def make(
        key: bytes = KEY, terminal: str = "lobby", model: str = "m" * 64, **more: Any
    ) -> GalleryStore:
        opened.append(
            GalleryStore(
                tmp_path / "gallery.db", key=key, terminal=terminal, model_digest=model, **more
            )
        )
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def import_file(
    store: GalleryStore, file: EncryptedFile, passphrase: str, policy: ImportPolicy, **options: Any
) -> ImportResult:
    """Enroll the people of a file of another terminal."""
    return import_people(store, read_export(file, passphrase), policy, **options)


def write_export(
    store: GalleryStore, path: Path, passphrase: str, names: Sequence[str] = ()
) -> int:
    """Write people to a file for another terminal; return their number."""
    content, count = build_export(store, passphrase, names)
    write_encrypted_file(path, content)
    return count
