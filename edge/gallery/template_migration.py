"""Enrollment for a new model from stored chips."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import PhotoError
from edge.face.embed import CHIP_SHAPE, Embedder
from edge.gallery.store import GalleryStore
from edge.photofile import decode_photo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TemplateMigration:
    """Result of a migration."""

    already_enrolled: int  # people who had templates of the model already
    enrolled: list[str]
    not_enrolled: list[str]  # people without a usable stored chip


def migrate_templates(store: GalleryStore, embedder: Embedder) -> TemplateMigration:
    """Make templates of the store's model from stored chips, for all people without any.

    May be interrupted and run again: each person is enrolled completely. A person without a usable
    chip must be enrolled again. Raises GalleryError, EngineError.
    """
    had, enrolled, must_come = 0, [], []
    for known in store.read_subjects():
        if len(known.templates):
            had += 1
        elif _enroll(store, embedder, known.name):
            enrolled.append(known.name)
        else:
            must_come.append(known.name)
    return TemplateMigration(had, enrolled, must_come)


def _enroll(store: GalleryStore, embedder: Embedder, name: str) -> bool:
    """Return True if the person has templates now."""
    chips = []
    pictures = []
    for chip in store.read_chips(name):
        try:
            pictures.append(_decode(chip))
            chips.append(chip)
        except PhotoError as error:
            log.error("a stored chip is left out: %s", error)
    if not chips or store.find_record(name) is None:
        return False
    embeddings = np.stack([probe.embedding for probe in embedder.embed(np.stack(pictures))])
    store.enroll(name, embeddings, chips=chips, known_only=True)
    return True


def _decode(chip: bytes) -> NDArray[np.uint8]:
    """Decode a stored chip; raises PhotoError if it is not an aligned face."""
    picture = decode_photo(chip, "a stored chip")
    if picture.shape != CHIP_SHAPE:
        raise PhotoError("unreadable", f"expected a chip of {CHIP_SHAPE}, found {picture.shape}")
    return picture
