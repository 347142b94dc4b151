"""Turning photos into templates, or saying why not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import masks
from edge.bundle import Calibration
from edge.chip import align
from edge.errors import PhotoError
from edge.face import quality
from edge.face.detect import Detector
from edge.face.embed import Embedder
from edge.gallery.search import Index
from edge.values import Probe, Quality, Visible

_PHOTO_BYTES_MAX = 64 << 20
_PHOTO_SIDE_MAX = 8192
_MASK_WORN_MAX = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What enrollment keeps of one photo; the chip is for the person at the screen, never stored."""

    chip: NDArray[np.uint8]
    probe: Probe


def read_photo(path: Path) -> bytes:
    """A photo as it lies on disk; raises PhotoError `unreadable`."""
    try:
        size = path.stat().st_size
        if size > _PHOTO_BYTES_MAX:
            raise PhotoError(
                "unreadable", f"{path}: {size >> 20} MiB is more than the {_PHOTO_BYTES_MAX >> 20} MiB a photo may have"
            )
        return path.read_bytes()
    except OSError as error:
        raise PhotoError("unreadable", f"{path}: cannot be read: {error.strerror}") from error


def decode_photo(encoded: bytes, name: str) -> NDArray[np.uint8]:
    """The picture (H,W,3) uint8 BGR; raises PhotoError `unreadable`."""
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    except cv2.error as error:
        raise PhotoError("unreadable", f"{name}: the picture is too large or damaged ({error.err})") from error
    if image is None:
        raise PhotoError("unreadable", f"{name}: not a picture that can be read; expected JPEG or PNG")
    longest = max(image.shape[:2])
    if longest > _PHOTO_SIDE_MAX:
        raise PhotoError("unreadable", f"{name}: {longest} pixels is more than the {_PHOTO_SIDE_MAX} a side may have")
    return np.asarray(image, dtype=np.uint8)


def sample(image: NDArray[np.uint8], detector: Detector, embedder: Embedder, *, min_face_px: int, name: str) -> Sample:
    """The template of a photo's only face; raises PhotoError no-face, several-faces, too-small, mask-worn, or a lack of quality."""
    faces = detector.detect(image)
    if not faces:
        raise PhotoError("no-face", f"{name}: no face found; use a sharp, bright photo that looks at the camera")
    if len(faces) > 1:
        raise PhotoError("several-faces", f"{name}: {len(faces)} faces found; use a photo with one person in it")
    face = faces[0]
    if face.width_px < min_face_px:
        raise PhotoError(
            "too-small", f"{name}: the face is {face.width_px:.0f} pixels wide, at least {min_face_px} are needed; come closer"
        )
    chip = align(image, face.landmarks_xy)
    probe = embedder.embed(chip[None])[0]
    _check(quality.measure(face, chip, image.shape, quality.pose_of(face.landmarks_xy)), name)
    if probe.mask_worn > _MASK_WORN_MAX:
        raise PhotoError("mask-worn", f"{name}: a mask seems to be worn ({probe.mask_worn:.0%}); enroll without one")
    _check(quality.visible(probe), name)
    return Sample(chip, probe)


def _check(found: Quality | Visible, name: str) -> None:
    reason = quality.ENROLL.refuses(found)
    if reason is not None:
        raise PhotoError(reason, f"{name}: {quality.words(reason)}")


def masked_probe(taken: Sample, embedder: Embedder, name: str) -> Probe:
    """The same face with a mask drawn on, for a template beside the bare one; `name` chooses the mask. Raises EngineError."""
    return embedder.embed(masks.draw_for_template(taken.chip, name)[None])[0]


def check_one_person(subject: str, templates: NDArray[np.float32], known: Index, calibration: Calibration) -> float:
    """The lowest likeness among the new templates (N,D).

    Raises PhotoError different-people where two of them are less alike than one in a hundred pairs of strangers, and
    already-enrolled where one matches somebody else of the gallery: with two names for one face neither would open.
    """
    alike = float((templates @ templates.T).min())
    if alike < calibration.same_person:
        raise PhotoError(
            "different-people",
            f"two of the photos are only {alike:.2f} alike, at least {calibration.same_person:.2f} is expected of one person: "
            f"use sharp photos of {subject} alone",
        )
    for template in templates:
        score, other = known.best_other(template, subject)
        if other is not None and score >= calibration.unmasked.threshold:
            raise PhotoError(
                "already-enrolled",
                f"this face is in the gallery as {other!r} (score {score:.2f}): use that name, or remove it first",
            )
    return alike
