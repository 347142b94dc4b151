"""A person before the camera: frames in, hints out, a sample for each pose that was held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from edge.errors import PhotoError
from edge.face.detect import Detector
from edge.face.embed import Embedder
from edge.gallery.enrollment.guide import Guide, words_of
from edge.gallery.enrollment.photos import (
    Demand,
    Portrait,
    Sample,
    check_portrait,
    examine,
    find_face,
)
from edge.values import Frame


def sit(
    frames: Iterable[Frame],
    guide: Guide,
    detector: Detector,
    embedder: Embedder,
    demand: Demand,
    tell: Callable[[str], None],
) -> Iterator[Sample]:
    """Samples as they are taken, until the guide is through; raises PhotoError no-pose, EngineError."""
    for frame in frames:
        guide.expire(frame.at)
        if guide.aim is None:
            return
        try:
            portrait = find_face(frame.image, detector, guide.aim.name)
            hint = _hint(guide, portrait, frame.at, demand)
            if hint is not None:
                tell(hint)
                continue
            sample = examine(portrait, embedder.embed(portrait.chip[None])[0], demand)
        except PhotoError as error:
            tell(words_of(error))
            continue
        guide.keep(portrait.pose, frame.at)
        yield sample
        if guide.is_done:
            return
    raise PhotoError(
        "no-pose", f"the camera gave no more frames after {len(guide.done)} of {guide.of} poses"
    )


def _hint(guide: Guide, portrait: Portrait, at: float, demand: Demand) -> str | None:
    """What must change before this look is kept; a turned head is told by what the pose is, not as a fault."""
    turned = False
    try:
        check_portrait(portrait, demand)
    except PhotoError as error:
        if error.reason != "turned-away":
            return words_of(error)
        turned = True
    return guide.hint(portrait.pose, at) or (guide.too_far() if turned else None)
