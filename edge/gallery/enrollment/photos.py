"""One photo and the one face in it, as good as its level demands, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge import masks
from edge.chip import align
from edge.errors import PhotoError
from edge.face import quality
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.gallery.enrollment.refusals import RefusalReason
from edge.values import Pose, Probe, Quality, Visibility

Image = NDArray[np.uint8]
QualityLevel = Literal["off", "standard", "strict"]

_MASK_WORN_MAX = 0.5
_YAW_MAX = 30.0  # degrees; beyond it the pose does not predict the width


@dataclass(frozen=True, slots=True)
class QualityRequirements:
    """What is asked of a photo."""

    level: QualityLevel = "standard"
    min_face_px: int = 60


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFace:
    """A photo's only face, before the embedder has seen it."""

    name: str  # of the photo
    chip: Image  # (112,112,3) BGR
    width_px: float
    eyes_px: float  # distance of the eyes
    pose: Pose
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class FaceSample:
    """A photo that can become a template."""

    face: PhotoFace
    probe: Probe
    visibility: Visibility

    @property
    def name(self) -> str:
        return self.face.name

    @property
    def components(self) -> dict[str, float]:
        return measured_components(self.face, self.visibility)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A photo that was not used, or was used and left out."""

    photo: str
    reason: RefusalReason
    message: str
    components: Mapping[str, float]

    @classmethod
    def from_error(cls, photo: str, error: PhotoError) -> Refusal:
        return cls(photo, RefusalReason(error.reason), str(error), error.components)


def measured_components(portrait: PhotoFace, visible: Visibility | None = None) -> dict[str, float]:
    """All that was measured, 0 to 100, by the names of ISO/IEC 29794-5 where it has one."""
    return {
        "single_face_present": 100.0,
        **asdict(portrait.quality),
        **(asdict(visible) if visible else {}),
    }


def find_face(image: Image, detector: FaceDetector, name: str) -> PhotoFace:
    """The only face of a picture (H,W,3); raises PhotoError no-face or several-faces."""
    faces = detector.detect(image) or detector.detect(
        image
    )  # every other look is for faces that fill the picture
    if not faces:
        raise _no_single(
            RefusalReason.NO_FACE,
            f"{name}: no face found; use a sharp, bright photo that looks at the camera",
        )
    if len(faces) > 1:
        raise _no_single(
            RefusalReason.SEVERAL_FACES,
            f"{name}: {len(faces)} faces found; use a photo with one person in it",
        )
    face = faces[0]
    chip, pose = align(image, face.landmarks_xy), quality.pose_of(face.landmarks_xy)
    eyes_px = math.dist(face.landmarks_xy[0].tolist(), face.landmarks_xy[1].tolist())
    measured = quality.measure(face, chip, image.shape, pose)
    return PhotoFace(name, chip, face.width_px, eyes_px, pose, measured)


def _no_single(reason: RefusalReason, message: str) -> PhotoError:
    return PhotoError(reason, message, {"single_face_present": 0.0})


def check_face(portrait: PhotoFace, requirements: QualityRequirements) -> None:
    """Raises PhotoError too-small or a lack of quality; nothing is asked at the level off."""
    if requirements.level == "off":
        return
    if portrait.width_px < requirements.min_face_px:
        raise PhotoError(
            RefusalReason.TOO_SMALL,
            f"{portrait.name}: the face is {portrait.width_px:.0f} pixels wide, at least "
            f"{requirements.min_face_px} are needed; use a photo taken closer, or one with more pixels",
            measured_components(portrait),
        )
    _check(portrait.quality, portrait.name, measured_components(portrait))


def frontal_size_ratio(portrait: PhotoFace, requirements: QualityRequirements) -> float:
    """Return the face's size as if it looked straight, as a share of the demanded size.

    A turned head looks narrower by the cosine of its yaw; the resolution is the same.
    """
    turned = math.cos(math.radians(min(abs(portrait.pose.yaw), _YAW_MAX)))
    least_px = quality.eyes_px_of(quality.ENROLL.inter_eye_distance)
    return min(portrait.width_px / requirements.min_face_px, portrait.eyes_px / least_px) / turned


def check_except_size(portrait: PhotoFace, requirements: QualityRequirements) -> None:
    """Raise PhotoError for a lack of quality other than the size of the face."""
    if requirements.level != "off":
        near = replace(portrait.quality, inter_eye_distance=100.0)
        _check(near, portrait.name, measured_components(portrait))


def build_sample(
    portrait: PhotoFace, probe: Probe, requirements: QualityRequirements
) -> FaceSample:
    """What the embedder saw; raises PhotoError mask-worn, or that too much of the face is hidden."""
    sample = FaceSample(portrait, probe, quality.visible(probe))
    if probe.mask_worn > _MASK_WORN_MAX:
        message = (
            f"{portrait.name}: a mask seems to be worn ({probe.mask_worn:.0%}); enroll without one"
        )
        raise PhotoError(RefusalReason.MASK_WORN, message, sample.components)
    if requirements.level != "off":
        _check(sample.visibility, portrait.name, sample.components)
    return sample


def _check(found: Quality | Visibility, name: str, measured: Mapping[str, float]) -> None:
    reason = quality.ENROLL.refuses(found)
    if reason is not None:
        component = quality.component(reason)
        least = getattr(quality.ENROLL, component)
        found_words = f"{component} {measured[component]:.0f} of 100, {least:.0f} is needed"
        raise PhotoError(
            reason, f"{name}: {RefusalReason(reason).sentence} ({found_words})", measured
        )


def take_sample(
    image: Image,
    detector: FaceDetector,
    embedder: Embedder,
    requirements: QualityRequirements,
    name: str,
) -> FaceSample:
    """The sample of a photo's only face; raises PhotoError."""
    portrait = find_face(image, detector, name)
    check_face(portrait, requirements)
    return build_sample(portrait, embedder.embed(portrait.chip[None])[0], requirements)


def take_samples(
    pictures: Iterable[tuple[str, Image | PhotoError]],
    detector: FaceDetector,
    embedder: Embedder,
    requirements: QualityRequirements,
) -> tuple[list[FaceSample], list[Refusal]]:
    """The usable of several photos with their names, embedded together, and what was refused of them; raises EngineError."""
    portraits: list[PhotoFace] = []
    refused: list[Refusal] = []
    for name, picture in pictures:
        try:
            if isinstance(picture, PhotoError):
                raise picture
            portrait = find_face(picture, detector, name)
            check_face(portrait, requirements)
            portraits.append(portrait)
        except PhotoError as error:
            refused.append(Refusal.from_error(name, error))
    probes = (
        embedder.embed(np.stack([portrait.chip for portrait in portraits])) if portraits else []
    )
    return _examined(portraits, probes, requirements, refused), refused


def _examined(
    portraits: Sequence[PhotoFace],
    probes: Sequence[Probe],
    requirements: QualityRequirements,
    refused: list[Refusal],
) -> list[FaceSample]:
    usable = []
    for portrait, probe in zip(portraits, probes, strict=True):
        try:
            usable.append(build_sample(portrait, probe, requirements))
        except PhotoError as error:
            refused.append(Refusal.from_error(portrait.name, error))
    return usable


def masked_probes(taken: Sequence[FaceSample], embedder: Embedder, name: str) -> list[Probe]:
    """The same faces with a mask drawn on, for templates beside the bare ones; `name` chooses the masks. Raises EngineError."""
    drawn = [
        masks.draw_for_template(sample.face.chip, f"{name} {i}") for i, sample in enumerate(taken)
    ]
    return embedder.embed(np.stack(drawn)) if drawn else []
