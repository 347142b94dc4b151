"""Choice of the samples that become templates, and detection of a person enrolled already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from edge.errors import PhotoError
from edge.gallery.enrollment.attributes import AGREEING_MIN, PHOTOS_MIN
from edge.gallery.enrollment.photos import QualityLevel
from edge.gallery.enrollment.refusals import RefusalReason
from edge.gallery.search import Index
from edge.system.text import format_count

Embeddings = NDArray[np.float32]  # (N,D) of unit norm

_PAIRS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class MatchThresholds:
    """Scores at or above which two embeddings count as the same person."""

    same_person: float  # two photos of one enrollment, or a photo with that person's templates
    enrolled: float  # score of a photo with another person's template: the door's threshold


@dataclass(frozen=True, slots=True)
class Enrollee:
    """Subject to be enrolled, with the operator's statements on different people."""

    subject: str
    sample_names: Sequence[str]  # of the samples
    is_distinct: Callable[[str], bool]  # True if a statement says that this name is another person


@dataclass(frozen=True, slots=True)
class ExcludedSample:
    """Sample that does not become a template."""

    index: int
    reason: RefusalReason
    message: str


@dataclass(frozen=True, slots=True)
class ConsistencyResult:
    """Result of the choice: the samples that become templates."""

    kept: tuple[int, ...]
    excluded: tuple[ExcludedSample, ...]
    lowest_similarity: float  # least score of two kept samples; 1 for a single one


def check_same_person(
    enrollee: Enrollee,
    embeddings: Embeddings,
    gallery: Index,
    thresholds: MatchThresholds,
    level: QualityLevel,
    enrolled: Embeddings | None = None,
) -> ConsistencyResult:
    """Choose the samples (N,D) of one subject that become templates.

    `enrolled`: the subject's templates (M,D) that the gallery has and keeps.
    Raises PhotoError: different-people if the samples are not one person, or not the one enrolled;
    already-enrolled if they agree on another person of the gallery; too-few-photos at the level
    strict.
    """
    subject = enrollee.subject
    if len(embeddings) < (least := PHOTOS_MIN[level]):
        raise PhotoError(
            RefusalReason.TOO_FEW_PHOTOS,
            f"{subject}: {format_count(len(embeddings), 'photo')} can be used, the level {level} "
            f"needs {least}; add photos",
        )
    names = short_names(enrollee.sample_names)
    kept = _keep_one_person(subject, names, embeddings, thresholds.same_person)
    excluded = _outliers(names, embeddings, kept, thresholds.same_person)
    _check_enrolled(subject, names, embeddings, kept, enrolled, thresholds.same_person)
    others = _matching_others(enrollee, names, embeddings, kept, gallery, thresholds)
    excluded += others
    kept = _without(kept, others)
    if level == "strict":
        closer = _closer_to_others(subject, names, embeddings, kept, gallery, enrolled)
        excluded += closer
        kept = _without(kept, closer)
        _check_strict(subject, kept, closer)
    lowest = _lowest_similarity(embeddings[kept]) if kept else 1.0
    return ConsistencyResult(tuple(kept), tuple(excluded), lowest)


def short_names(names: Sequence[str]) -> list[str]:
    """Return file names without their folders, if they are still different."""
    short = [PurePath(name).name for name in names]
    return short if len(set(short)) == len(set(names)) else list(names)


def _without(kept: Sequence[int], excluded: Sequence[ExcludedSample]) -> list[int]:
    indices = {one.index for one in excluded}
    return [i for i in kept if i not in indices]


def _keep_one_person(
    subject: str, names: Sequence[str], embeddings: Embeddings, same_person: float
) -> list[int]:
    """Return the samples without those that are unlike the others, removed worst first.

    Raises PhotoError different-people if fewer than three are left, or half of them or less.
    """
    kept = list(range(len(embeddings)))
    scores = embeddings @ embeddings.T
    while len(kept) > 1:
        own = scores[np.ix_(kept, kept)]
        to_others = [float(np.median(np.delete(row, i))) for i, row in enumerate(own)]
        worst = int(np.argmin(to_others))
        if to_others[worst] >= same_person:
            break
        del kept[worst]
    if len(kept) < len(embeddings) and (
        len(kept) < AGREEING_MIN or 2 * len(kept) <= len(embeddings)
    ):
        raise PhotoError(
            RefusalReason.DIFFERENT_PEOPLE,
            f"the photos of {subject} do not show one person: "
            f"{_pairs(names, scores, same_person)}; "
            f"two photos of one person score {same_person:.2f} or more. "
            f"{_advice(subject, names, kept)}",
        )
    return kept


def _pairs(names: Sequence[str], scores: NDArray[np.float32], same_person: float) -> str:
    """Describe the pairs that disagree, the worst first."""
    apart = [(float(scores[i, j]), i, j) for i, j in combinations(range(len(names)), 2)]
    apart = sorted(pair for pair in apart if pair[0] < same_person)
    shown = [f"{names[i]} and {names[j]} score {score:.2f}" for score, i, j in apart]
    more = len(shown) - _PAIRS_SHOWN
    return ", ".join(shown[:_PAIRS_SHOWN]) + (f" and {more} more pairs" if more > 0 else "")


def _advice(subject: str, names: Sequence[str], kept: Sequence[int]) -> str:
    """Return advice on the photos to drop, as far as the scores show it."""
    odd = ", ".join(name for i, name in enumerate(names) if i not in kept)
    if len(kept) > len(names) - len(kept):
        return f"Drop {odd}: the others agree"
    if len(names) == 2:
        return f"Drop the one that is not {subject}, or add a third photo of {subject}"
    agreeing = ", ".join(names[i] for i in kept)
    if len(kept) > 1:
        return f"{agreeing} agree, {odd} do not: drop those that are not {subject}"
    return f"No two of them agree: use sharp photos of {subject} alone, looking at the camera"


def _outliers(
    names: Sequence[str], embeddings: Embeddings, kept: Sequence[int], same_person: float
) -> list[ExcludedSample]:
    """Return the samples that are not kept, with their scores."""
    return [
        ExcludedSample(
            i,
            RefusalReason.OUTLIER_PHOTO,
            f"{names[i]}: scores {np.median(embeddings[kept] @ embeddings[i]):.2f} with the other "
            "photos, "
            f"at least {same_person:.2f} is expected of one person; check who is on this photo",
        )
        for i in range(len(embeddings))
        if i not in kept
    ]


def _check_enrolled(
    subject: str,
    names: Sequence[str],
    embeddings: Embeddings,
    kept: Sequence[int],
    enrolled: Embeddings | None,
    same_person: float,
) -> None:
    """Raise PhotoError if the photos do not show the person enrolled under this name."""
    if enrolled is None or not len(enrolled):
        return
    scores = (embeddings[kept] @ enrolled.T).max(axis=1)
    if np.median(scores) < same_person:
        raise PhotoError(
            RefusalReason.DIFFERENT_PEOPLE,
            f"the photos are not like {subject} as enrolled: "
            f"{_scored([names[i] for i in kept], scores)}; one person scores {same_person:.2f} "
            "or more: name another subject, or replace the old photos with --replace",
        )


def _scored(names: Sequence[str], scores: NDArray[np.float32]) -> str:
    return ", ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True))


def _matching_others(
    enrollee: Enrollee,
    names: Sequence[str],
    embeddings: Embeddings,
    kept: Sequence[int],
    gallery: Index,
    thresholds: MatchThresholds,
) -> list[ExcludedSample]:
    """Return the samples that would be granted access as another person.

    One poor photo, here or in the gallery, makes no duplicate: raises PhotoError already-enrolled
    if more than half of the samples are like that person's templates, by the medians of scores.
    """
    excluded = []
    for i in kept:
        score, other = _best_other_subject(enrollee, embeddings[i], gallery)
        if other is None or score < thresholds.enrolled:
            continue
        medians = np.median(gallery.subject_scores(embeddings[kept], other), axis=1)
        if 2 * np.count_nonzero(medians >= thresholds.same_person) > len(kept):
            raise PhotoError(
                RefusalReason.ALREADY_ENROLLED,
                f"this person is in the gallery as {other!r}: {names[i]} scores {score:.2f} "
                f"(threshold of the door: {thresholds.enrolled:.2f}); median score with the "
                f"templates of that name: {_scored([names[j] for j in kept], medians)} (the same "
                f"person from {thresholds.same_person:.2f}); use that name, or remove it first; "
                f"{_override(other)}",
            )
        words = (
            f"{names[i]}: scores {score:.2f} with a template of {other!r}, who is enrolled "
            f"(threshold of the door: {thresholds.enrolled:.2f})"
        )
        excluded.append(ExcludedSample(i, RefusalReason.MATCHES_OTHER_SUBJECT, words))
    if len(excluded) == len(kept):
        raise PhotoError(
            RefusalReason.MATCHES_OTHER_SUBJECT,
            f"{'; '.join(one.message for one in excluded)}; most templates of that person differ: "
            "use sharper photos, or enroll that person again with --replace and better ones; "
            + _override(other),
        )
    return excluded


def _override(other: str | None) -> str:
    option = f"--not-a-duplicate {other!r} --reason WORDS"
    return f"if they are two people: add {option} (in a roster: columns with these names)"


def _best_other_subject(
    enrollee: Enrollee, embedding: NDArray[np.float32], gallery: Index
) -> tuple[float, str | None]:
    """Return the best score and its subject, without those stated to be different people."""
    ignored = [enrollee.subject]
    while True:
        score, other = gallery.best_other(embedding, *ignored)
        if other is None or not enrollee.is_distinct(other):
            return score, other
        ignored.append(other)


def _closer_to_others(
    subject: str,
    names: Sequence[str],
    embeddings: Embeddings,
    kept: Sequence[int],
    gallery: Index,
    enrolled: Embeddings | None,
) -> list[ExcludedSample]:
    """Return the samples that score as high with another person as with their own person."""
    closer = []
    for i in kept:
        own = embeddings[[j for j in kept if j != i]]
        if enrolled is not None and len(enrolled):
            own = np.concatenate([own, enrolled])
        best_own = float((own @ embeddings[i]).max()) if len(own) else -1.0
        best_other, other = gallery.best_other(embeddings[i], subject)
        if best_own <= best_other:
            words = (
                f"{names[i]}: scores {best_other:.2f} with {other!r}, who is enrolled, and only "
                f"{best_own:.2f} with the photos of {subject}"
            )
            closer.append(ExcludedSample(i, RefusalReason.CLOSER_TO_OTHER_SUBJECT, words))
    return closer


def _check_strict(subject: str, kept: Sequence[int], closer: Sequence[ExcludedSample]) -> None:
    if closer and len(kept) < PHOTOS_MIN["strict"]:
        raise PhotoError(
            RefusalReason.CLOSER_TO_OTHER_SUBJECT,
            f"{'; '.join(one.message for one in closer)}. {len(kept)} photos of {subject} are "
            f"left, the level strict needs {PHOTOS_MIN['strict']}: use sharper photos, looking at "
            "the "
            "camera",
        )


def _lowest_similarity(embeddings: Embeddings) -> float:
    return float((embeddings @ embeddings.T).min())
