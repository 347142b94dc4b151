"""Quality checks of a photo with one face, which give a sample or a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

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

Image: TypeAlias = NDArray[np.uint8]  # (H,W,3) BGR
QualityLevel = Literal["off", "standard", "strict"]

_MASK_WORN_MAX = 0.5
_YAW_MAX = 30.0  # degrees; beyond it the pose does not predict the width


@dataclass(frozen=True, slots=True)
class QualityRequirements:
    """Requirements of a photo."""

    level: QualityLevel
    min_face_px: int


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFace:
    """The only face of a photo, before it is embedded."""

    name: str  # of the photo
    chip: Image  # (112,112,3) BGR
    width_px: float
    eye_distance_px: float  # distance of the eyes
    pose: Pose
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class FaceSample:
    """Embedded face of a photo that may become a template."""

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
    """Photo that was refused or left out; `photo` is "all" for a refused person."""

    photo: str
    reason: RefusalReason
    message: str
    components: Mapping[str, float]

    @classmethod
    def from_error(cls, photo: str, error: PhotoError) -> Refusal:
        return cls(photo, RefusalReason(error.reason), str(error), error.components)


def measured_components(face: PhotoFace, visibility: Visibility | None = None) -> dict[str, float]:
    """Return all quality components, 0 to 100, by their names in ISO/IEC 29794-5 if it has one."""
    return {
        "single_face_present": 100.0,
        **asdict(face.quality),
        **(asdict(visibility) if visibility else {}),
    }


def find_face(image: Image, detector: FaceDetector, name: str) -> PhotoFace:
    """Return the only face of a picture (H,W,3); raises PhotoError no-face or several-faces."""
    # The detector searches for faces that fill the picture only every second time.
    found = detector.detect(image) or detector.detect(image)
    if not found:
        raise _not_single(
            RefusalReason.NO_FACE,
            f"{name}: no face found; use a sharp, bright photo that looks at the camera",
        )
    if len(found) > 1:
        raise _not_single(
            RefusalReason.SEVERAL_FACES,
            f"{name}: {len(found)} faces found; use a photo with one person in it",
        )
    face = found[0]
    chip, pose = align(image, face.landmarks_xy), quality.estimate_pose(face.landmarks_xy)
    eyes_px = math.dist(face.landmarks_xy[0].tolist(), face.landmarks_xy[1].tolist())
    measured = quality.measure_quality(face, chip, image.shape, pose)
    return PhotoFace(name, chip, face.width_px, eyes_px, pose, measured)


def _not_single(reason: RefusalReason, message: str) -> PhotoError:
    return PhotoError(reason, message, {"single_face_present": 0.0})


def check_face(face: PhotoFace, requirements: QualityRequirements) -> None:
    """Raise PhotoError for a face that is too small or of low quality, except at the level off."""
    if requirements.level == "off":
        return
    if face.width_px < requirements.min_face_px:
        raise PhotoError(
            RefusalReason.TOO_SMALL,
            f"{face.name}: the face is {face.width_px:.0f} pixels wide, at least "
            f"{requirements.min_face_px} are needed; use a photo taken closer, or one with more "
            "pixels",
            measured_components(face),
        )
    _check_gate(face.quality, face.name, measured_components(face))


def frontal_size_ratio(face: PhotoFace, requirements: QualityRequirements) -> float:
    """Return the face's size as if it looked straight, as a share of the required size.

    A turned head looks narrower by the cosine of its yaw; the resolution is the same.
    """
    turned = math.cos(math.radians(min(abs(face.pose.yaw), _YAW_MAX)))
    min_eyes_px = quality.eye_distance_px(quality.ENROLLMENT_GATE.inter_eye_distance)
    return (
        min(face.width_px / requirements.min_face_px, face.eye_distance_px / min_eyes_px) / turned
    )


def check_except_size(face: PhotoFace, requirements: QualityRequirements) -> None:
    """Raise PhotoError for low quality, without regard to the size of the face."""
    if requirements.level != "off":
        measured = replace(face.quality, inter_eye_distance=100.0)
        _check_gate(measured, face.name, measured_components(face))


def build_sample(face: PhotoFace, probe: Probe, requirements: QualityRequirements) -> FaceSample:
    """Return the sample of an embedded face; raises PhotoError if a mask or much else hides it."""
    sample = FaceSample(face, probe, quality.measure_visibility(probe))
    if probe.mask_worn > _MASK_WORN_MAX:
        raise PhotoError(
            RefusalReason.MASK_WORN,
            f"{face.name}: a mask seems to be worn ({probe.mask_worn:.0%}); enroll without one",
            sample.components,
        )
    if requirements.level != "off":
        _check_gate(sample.visibility, face.name, sample.components)
    return sample


def _check_gate(found: Quality | Visibility, name: str, measured: Mapping[str, float]) -> None:
    """Raise PhotoError with the first component that is below the gate of enrollment."""
    reason = quality.ENROLLMENT_GATE.find_refusal(found)
    if reason is not None:
        component = quality.component_of(reason)
        minimum = getattr(quality.ENROLLMENT_GATE, component)
        value = f"{component} {measured[component]:.0f} of 100, {minimum:.0f} is needed"
        raise PhotoError(reason, f"{name}: {RefusalReason(reason).sentence} ({value})", measured)


def take_sample(
    image: Image,
    detector: FaceDetector,
    embedder: Embedder,
    requirements: QualityRequirements,
    name: str,
) -> FaceSample:
    """Return the sample of a photo's only face; raises PhotoError."""
    face = find_face(image, detector, name)
    check_face(face, requirements)
    return build_sample(face, embedder.embed(face.chip[None])[0], requirements)


def take_samples(
    pictures: Iterable[tuple[str, Image | PhotoError]],
    detector: FaceDetector,
    embedder: Embedder,
    requirements: QualityRequirements,
) -> tuple[list[FaceSample], list[Refusal]]:
    """Return samples and refusals of named photos, embedded in one batch; raises EngineError."""
    faces: list[PhotoFace] = []
    refused: list[Refusal] = []
    for name, picture in pictures:
        try:
            if isinstance(picture, PhotoError):
                raise picture
            face = find_face(picture, detector, name)
            check_face(face, requirements)
            faces.append(face)
        except PhotoError as error:
            refused.append(Refusal.from_error(name, error))
    samples = []
    probes = embedder.embed(np.stack([face.chip for face in faces])) if faces else []
    for face, probe in zip(faces, probes, strict=True):
        try:
            samples.append(build_sample(face, probe, requirements))
        except PhotoError as error:
            refused.append(Refusal.from_error(face.name, error))
    return samples, refused


def masked_probes(samples: Sequence[FaceSample], embedder: Embedder, name: str) -> list[Probe]:
    """Embed the faces with a drawn mask that is chosen by `name`; raises EngineError."""
    drawn = [
        masks.draw_for_template(sample.face.chip, f"{name} {i}") for i, sample in enumerate(samples)
    ]
    return embedder.embed(np.stack(drawn)) if drawn else []
