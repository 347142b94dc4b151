from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge.errors import GalleryError
from edge.gallery.store import GalleryStore
from edge.gallery.template_migration import migrate_templates
from edge.subject import SubjectRecord
from edge.values import Probe

Open = Callable[..., GalleryStore]


class Embedder:
    def embed(self, chips: np.ndarray) -> list[Probe]:
        maps = np.zeros((3, 14, 14), np.float32)
        return [
            Probe(np.eye(16, dtype=np.float32)[int(chip.mean()) % 16], maps, 0.0, 1.0)
            for chip in chips
        ]


def png(level: int) -> bytes:
    return cv2.imencode(".png", np.full((112, 112, 3), level, np.uint8))[1].tobytes()


def test_migrate_enrolls_from_stored_chips(open_store: Open) -> None:
    before = open_store()
    before.enroll(
        "Ada",
        np.eye(2, 16, dtype=np.float32),
        record=SubjectRecord(mask="any"),
        chips=[png(3), None],
    )
    before.enroll("Eve", np.eye(1, 16, dtype=np.float32))
    with pytest.raises(GalleryError, match="edge-gallery migrate"):
        open_store(model="n" * 64)
    now = open_store(model="n" * 64, allow_other_models=True)
    result = migrate_templates(now, Embedder())  # type: ignore[arg-type]
    assert (result.already_enrolled, result.enrolled, result.not_enrolled) == (0, ["Ada"], ["Eve"])
    ada, _ = open_store(model="n" * 64).read_subjects()
    assert ada.record.mask == "any" and ada.templates.argmax() == 3
    again = migrate_templates(now, Embedder())  # type: ignore[arg-type]
    assert (again.already_enrolled, again.enrolled, again.not_enrolled) == (1, [], ["Eve"])
    assert before.template_counts() == {"Ada": 2, "Eve": 1}


def test_migrate_damaged_chips_are_left_out(open_store: Open) -> None:
    before, rows = open_store(), np.eye(2, 16, dtype=np.float32)
    before.enroll("Ada", rows, chips=[b"no picture", png(3)])
    before.enroll("Eve", rows[:1], chips=[b"no picture"])
    before.enroll("Joe", rows[:1], chips=[png(4)])
    before.db.execute(
        "UPDATE chips SET sealed = 7 WHERE template = (SELECT max(id) FROM templates)"
    )
    now = open_store(model="n" * 64, allow_other_models=True)
    result = migrate_templates(now, Embedder())  # type: ignore[arg-type]
    assert (result.enrolled, result.not_enrolled) == (["Ada"], ["Eve", "Joe"])
