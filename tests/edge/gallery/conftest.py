from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.gallery.store import GalleryStore

KEY = bytes(range(32))
Open = Callable[..., GalleryStore]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    """Each call is another connection to one gallery."""
    opened: list[GalleryStore] = []

    def make(
        key: bytes = KEY, terminal: str = "lobby", model: str = "m" * 64, **more: bool
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
