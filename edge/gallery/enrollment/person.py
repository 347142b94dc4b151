"""What several samples say together: whether they are one person, and nobody who is enrolled under another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import PhotoError
from edge.gallery.enrollment.photos import Level
from edge.gallery.search import Index

Embeddings = NDArray[np.float32]  # (N,D) of unit norm

_AGREEING_MIN = (
    3  # samples that must be left where one is left out: of two nobody can tell which one is right
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Scores from which on two embeddings are taken for the same person."""

    same_person: float  # of two photos of one enrollment, or with that person's templates
    enrolled: (
        float  # of a photo with somebody else's template: the threshold that the door would go by
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """Which samples go together."""

    kept: tuple[int, ...]
    unlike: tuple[int, ...]  # left out: the person's other samples show somebody else
    nearer: tuple[
        int, ...
    ]  # left out at the level strict: somebody else of the gallery is as near as the person's own
    alike: float  # the least of two kept samples; 1 of a single one


def settle(
    subject: str,
    found: Embeddings,
    known: Index,
    bounds: Bounds,
    level: Level,
    enrolled: Embeddings | None = None,
) -> Settled:
    """Which of the samples (N,D) of one subject become templates; `enrolled` are those (M,D) that the gallery has and keeps.

    Raises PhotoError different-people where the samples are not one person, or not the one enrolled; already-enrolled where
    the gallery has the face under another name, for then neither would open; too-few at the level strict.
    """
    if level == "strict" and len(found) < _AGREEING_MIN:
        raise PhotoError(
            "too-few",
            f"{len(found)} usable photos of {subject}; the level strict needs {_AGREEING_MIN}",
        )
    kept = _one_person(subject, found, bounds.same_person)
    _check_enrolled(subject, found[kept], enrolled, bounds.same_person)
    _check_nobody_else(subject, found[kept], known, bounds.enrolled)
    unlike = tuple(i for i in range(len(found)) if i not in kept)
    nearer = _nearer_to_others(subject, found, kept, known, enrolled) if level == "strict" else ()
    kept = [i for i in kept if i not in nearer]
    if nearer and len(kept) < _AGREEING_MIN:
        raise PhotoError(
            "nearer-to-another",
            f"{len(nearer)} of the photos are no more like the others of {subject} than like somebody else who is enrolled; "
            f"{_AGREEING_MIN} that are must be left: use sharper photos, looking at the camera",
        )
    return Settled(tuple(kept), unlike, nearer, _least(found[kept]))


def _one_person(subject: str, found: Embeddings, same_person: float) -> list[int]:
    """All samples, less those that the others are unlike, the worst first.

    Raises PhotoError different-people where fewer than three are left, or no more than half: then nobody can tell who is who.
    """
    kept = list(range(len(found)))
    scores = found @ found.T
    while len(kept) > 1:
        own = scores[np.ix_(kept, kept)]
        to_others = [float(np.median(np.delete(row, i))) for i, row in enumerate(own)]
        worst = int(np.argmin(to_others))
        if to_others[worst] >= same_person:
            break
        del kept[worst]
    if len(kept) < len(found) and (len(kept) < _AGREEING_MIN or 2 * len(kept) <= len(found)):
        raise PhotoError(
            "different-people",
            f"two of the photos are only {_least(found):.2f} alike, at least {same_person:.2f} is expected of one person: "
            f"use sharp photos of {subject} alone",
        )
    return kept


def _check_enrolled(
    subject: str, found: Embeddings, enrolled: Embeddings | None, same_person: float
) -> None:
    """Nobody is let in under another's name by adding a photo to it."""
    if enrolled is None or not len(enrolled):
        return
    likeness = float(np.median((found @ enrolled.T).max(axis=1)))
    if likeness < same_person:
        raise PhotoError(
            "different-people",
            f"the photos are only {likeness:.2f} like {subject} as enrolled, at least {same_person:.2f} is expected of one person: "
            "name another subject, or put them in place of the old with --replace",
        )


def _check_nobody_else(subject: str, found: Embeddings, known: Index, threshold: float) -> None:
    for embedding in found:
        score, other = known.best_other(embedding, subject)
        if other is not None and score >= threshold:
            raise PhotoError(
                "already-enrolled",
                f"this face is in the gallery as {other!r} (score {score:.2f}): use that name, or remove it first",
            )


def _nearer_to_others(
    subject: str, found: Embeddings, kept: Sequence[int], known: Index, enrolled: Embeddings | None
) -> tuple[int, ...]:
    """Those whose best score with the person's other samples does not beat that with anybody else."""
    nearer = []
    for i in kept:
        own = found[[j for j in kept if j != i]]
        if enrolled is not None and len(enrolled):
            own = np.concatenate([own, enrolled])
        best_own = float((own @ found[i]).max()) if len(own) else -1.0
        if best_own <= known.best_other(found[i], subject)[0]:
            nearer.append(i)
    return tuple(nearer)


def _least(found: Embeddings) -> float:
    return float((found @ found.T).min())
