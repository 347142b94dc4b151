"""A new model: people are enrolled again from the chips that were kept of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.face.embed import Embedder
from edge.gallery.store import Store
from edge.photofile import decode_photo


@dataclass(frozen=True, slots=True)
class Migrated:
    """What came of it."""

    had: int  # who had templates of the model before
    enrolled: list[str]
    must_come: list[str]  # of whom no chips were kept


def migrate(store: Store, embedder: Embedder) -> Migrated:
    """Templates of the store's model for everybody who has none and of whom chips were kept; raises GalleryError, EngineError.

    May be interrupted and run again: each person is enrolled whole.
    """
    had, enrolled, must_come = 0, [], []
    for known in store.known():
        if len(known.templates):
            had += 1
            continue
        chips = [kept.chip for kept in store.kept(known.name) if kept.chip is not None]
        if not chips:
            must_come.append(known.name)
            continue
        pictures = np.stack([decode_photo(chip, f"a kept chip of {known.name}") for chip in chips])
        store.enroll(
            known.name,
            np.stack([probe.embedding for probe in embedder.embed(pictures)]),
            chips=chips,
        )
        enrolled.append(known.name)
    return Migrated(had, enrolled, must_come)
