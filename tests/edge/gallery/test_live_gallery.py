"""Gallery in memory against a store that other connections write to."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from edge.gallery.live_gallery import LiveGallery
from edge.subject import SubjectRecord
from tests.edge.gallery.conftest import Open
from tests.edge.gallery.test_search import Rows, draw

ADA, EVE, BOB = (draw(np.random.default_rng(seed), 2) for seed in (10, 11, 12))


def subject_of(gallery: LiveGallery, face: Rows) -> str | None:
    match = gallery.search(face)
    return match.subject if match is not None and match.score > 0.99 else None


def test_live_gallery_follows_other_writers(open_store: Open) -> None:
    store = open_store()
    store.enroll("Ada", ADA, record=SubjectRecord(mask="any"))
    gallery = LiveGallery(open_store())
    assert (
        subject_of(gallery, ADA[0]) == "Ada"
        and gallery.find_record("Ada") == SubjectRecord(mask="any")
        and not gallery.refresh()
    )
    store.enroll("Eve", EVE)
    assert gallery.refresh() and not gallery.refresh()
    assert subject_of(gallery, EVE[1]) == "Eve" and gallery.templates == 4
    store.enroll("Ada", BOB, record=SubjectRecord(), replace=True)  # another record and face
    assert gallery.refresh() and subject_of(gallery, BOB[0]) == "Ada"
    assert subject_of(gallery, ADA[0]) is None
    assert gallery.find_record("Ada") == SubjectRecord()
    store.remove("Ada")
    assert gallery.refresh() and subject_of(gallery, BOB[0]) is None and gallery.index.subjects == 1
    assert gallery.find_record("Ada") is None


def test_live_gallery_leaves_out_damaged_rows(
    open_store: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    store.enroll("Ada", ADA)
    store.enroll("Eve", EVE)
    gallery = LiveGallery(open_store())
    store.enroll("Ada", ADA * np.float32(2), replace=True)
    store.remove("Eve")
    store.enroll("Bob", BOB)
    with caplog.at_level(logging.ERROR):
        assert gallery.refresh()
    assert "norm 2, expected 1" in caplog.text and "Ada" not in caplog.text
    assert subject_of(gallery, ADA[0]) is None and subject_of(gallery, EVE[0]) is None
    assert subject_of(gallery, BOB[0]) == "Bob" and gallery.index.templates == 2
