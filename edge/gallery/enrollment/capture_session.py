"""A person before the camera: frames in, hints out, a sample for each pose that was held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from edge.errors import PhotoError
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.gallery.enrollment.photos import (
    Portrait,
    QualityRequirements,
    Sample,
    check_but_size,
    examine,
    find_face,
    frontal_size,
)
from edge.gallery.enrollment.pose_guide import COME_CLOSER, PoseGuide, SteadyHint, words_of
from edge.gallery.enrollment.refusals import RefusalReason
from edge.values import Frame


def capture_samples(
    frames: Iterable[Frame],
    guide: PoseGuide,
    detector: FaceDetector,
    embedder: Embedder,
    demand: QualityRequirements,
    tell: Callable[[str], None],
) -> Iterator[Sample]:
    """Samples as they are taken, until the guide is through; raises PhotoError no-pose, EngineError."""
    steady = SteadyHint()
    for frame in frames:
        guide.expire(frame.at)
        if guide.aim is None:
            return
        try:
            portrait = find_face(frame.image, detector, guide.aim.name)
            hint = hint_for(guide, portrait, frame.at, demand)
            if hint is not None:
                tell(steady.update(hint, frame.at))
                continue
            sample = examine(portrait, embedder.embed(portrait.chip[None])[0], demand)
        except PhotoError as error:
            tell(steady.update(words_of(error), frame.at))
            continue
        guide.keep(portrait.pose, frame.at)
        steady = SteadyHint()
        yield sample
        if guide.is_done:
            return
    raise PhotoError(
        RefusalReason.NO_POSE,
        f"the camera gave no more frames after {len(guide.done)} of {guide.of} poses",
    )


def hint_for(
    guide: PoseGuide, portrait: Portrait, at: float, demand: QualityRequirements
) -> str | None:
    """Return the hint that must be followed before a portrait is kept, None without one.

    A turned head is not a fault: the requested pose guides it.
    """
    if demand.level != "off" and not guide.is_near(frontal_size(portrait, demand)):
        return COME_CLOSER
    turned = False
    try:
        check_but_size(portrait, demand)
    except PhotoError as error:
        if error.reason != RefusalReason.TURNED_AWAY:
            return words_of(error)
        turned = True
    return guide.hint(portrait.pose, at) or (guide.too_far() if turned else None)
