"""Capture of samples at the camera: frames in, hints out, one sample for each pose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from edge.errors import PhotoError
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.gallery.enrollment.photos import (
    FaceSample,
    PhotoFace,
    QualityRequirements,
    build_sample,
    check_except_size,
    find_face,
    frontal_size_ratio,
)
from edge.gallery.enrollment.pose_guide import COME_CLOSER, PoseGuide, SteadyHint, hint_for_error
from edge.gallery.enrollment.refusals import RefusalReason
from edge.values import Frame


def capture_samples(
    frames: Iterable[Frame],
    guide: PoseGuide,
    detector: FaceDetector,
    embedder: Embedder,
    requirements: QualityRequirements,
    show_hint: Callable[[str], None],
) -> Iterator[FaceSample]:
    """Yield a sample for each pose of the guide; raises PhotoError no-pose, EngineError."""
    steady = SteadyHint()
    for frame in frames:
        guide.expire(frame.at)
        if guide.target is None:
            return
        try:
            face = find_face(frame.image, detector, guide.target.name)
            hint = required_hint(guide, face, frame.at, requirements)
            if hint is not None:
                show_hint(steady.update(hint, frame.at))
                continue
            sample = build_sample(face, embedder.embed(face.chip[None])[0], requirements)
        except PhotoError as error:
            show_hint(steady.update(hint_for_error(error), frame.at))
            continue
        guide.accept(face.pose, frame.at)
        steady = SteadyHint()
        yield sample
        if guide.is_done:
            return
    raise PhotoError(
        RefusalReason.NO_POSE,
        f"the camera gave no more frames after {len(guide.captured)} of {guide.total} poses",
    )


def required_hint(
    guide: PoseGuide, face: PhotoFace, at: float, requirements: QualityRequirements
) -> str | None:
    """Return the hint to follow before a face can be captured, None without one.

    A turned head is not a flaw: the requested pose guides it.
    """
    if requirements.level != "off" and not guide.is_near(frontal_size_ratio(face, requirements)):
        return COME_CLOSER
    turned = False
    try:
        check_except_size(face, requirements)
    except PhotoError as error:
        if error.reason != RefusalReason.TURNED_AWAY:
            return hint_for_error(error)
        turned = True
    return guide.hint(face.pose, at) or (guide.hint_for_large_angle() if turned else None)
