from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import masks
from edge.bundle import read_manifest
from edge.errors import PhotoError
from edge.face.detect import Detector
from edge.face.embed import Embedder
from edge.gallery.enroll import Sample, check_one_person, decode_photo, read_photo, sample
from edge.gallery.search import Index


def take(image: np.ndarray, detector: Detector, embedder: Embedder) -> Sample:
    return sample(image, detector, embedder, min_face_px=60, name="photo")


def reason(image: np.ndarray, detector: Detector, embedder: Embedder) -> str:
    with pytest.raises(PhotoError) as caught:
        take(image, detector, embedder)
    assert "photo" in str(caught.value)
    return caught.value.reason


def test_a_good_photo_gives_a_template(detector: Detector, embedder: Embedder, collins: np.ndarray) -> None:
    assert take(collins, detector, embedder).probe.embedding.shape == (256,)


def test_every_refusal_has_its_reason(detector: Detector, embedder: Embedder, collins: np.ndarray, hopper: np.ndarray) -> None:
    two = np.hstack([cv2.resize(collins, (512, 600)), hopper])
    masked = masks.draw(collins, masks.MaskStyle("surgical", (222, 190, 140)), detector.detect(collins)[0].landmarks_xy)[0]
    assert reason(np.full((480, 640, 3), 80, np.uint8), detector, embedder) == "no-face"
    assert reason(two, detector, embedder) == "several-faces"
    assert reason(cv2.resize(collins, (256, 256)), detector, embedder) == "too-small"
    assert reason(masked, detector, embedder) == "mask-worn"


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0broken"])
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(PhotoError, match=r"x\.jpg: not a picture") as caught:
        decode_photo(read_photo(tmp_path / "x.jpg"), "x.jpg")
    assert caught.value.reason == "unreadable"


def test_a_missing_photo(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path / "none.jpg")


def test_two_people_are_not_one_and_one_is_not_two(bundle_path: Path) -> None:
    calibration = read_manifest(bundle_path).calibration
    known = Index(["Bob"], np.eye(1, 8, 0, dtype=np.float32))
    ada, bob = np.eye(1, 8, 1, dtype=np.float32), np.eye(1, 8, 0, dtype=np.float32)
    assert check_one_person("Ada", np.vstack([ada, ada]), known, calibration) == 1
    assert check_one_person("Bob", bob, known, calibration) == 1
    for name, templates, reason in (("Ada", np.vstack([ada, bob]), "different-people"), ("Ada", bob, "already-enrolled")):
        with pytest.raises(PhotoError) as caught:
            check_one_person(name, templates, known, calibration)
        assert caught.value.reason == reason
