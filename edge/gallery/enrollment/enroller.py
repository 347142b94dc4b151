"""Where one person after the other is enrolled: settled, noted and stored, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError, PhotoError
from edge.face.embed import Embedder
from edge.gallery.enrollment.attributes import AttributePolicy, SubjectAttributes
from edge.gallery.enrollment.consistency import (
    ConsistencyResult,
    Enrollee,
    ExcludedSample,
    MatchThresholds,
    check_same_person,
)
from edge.gallery.enrollment.photos import FaceSample, QualityLevel, Refusal, masked_probes
from edge.gallery.enrollment.refusals import RefusalReason
from edge.gallery.enrollment.registry import EnrolledSubjects
from edge.names import name_key
from edge.subject import SubjectRecord, pair_of
from edge.system.text import count

_THE_SAME = 0.9999  # cosine of one photo's embedding with itself, computed twice


@dataclass(frozen=True, slots=True)
class EnrollmentResult:
    """What came of one person."""

    stored: int  # templates
    existing: int  # templates that were there, and still are unless they were replaced
    already_stored: int  # photos whose templates the gallery had already
    lowest_similarity: float  # the least of two of the photos
    left_out: tuple[Refusal, ...]


class Enroller:
    """Enrolls people by the rules of one level; `bounds` are those for a gallery of so many templates."""

    def __init__(
        self,
        embedder: Embedder,
        bounds: Callable[[int], MatchThresholds],
        roll: EnrolledSubjects,
        registrar: AttributePolicy,
        level: QualityLevel,
        *,
        note: Callable[[str, str, str], None],
        masked_templates: bool = False,
        keep_chips: bool = False,
    ) -> None:
        self._note = note  # records subject, another subject, and why they are two people
        self._embedder, self._bounds, self._roll, self._registrar = (
            embedder,
            bounds,
            roll,
            registrar,
        )
        self._level, self._masked_templates, self._keep_chips = level, masked_templates, keep_chips

    def check_attributes(self, subject: str, terms: SubjectAttributes) -> None:
        """Before anybody looks at photos; raises PhotoError no-consent or invalid-dates."""
        self._record(subject, terms)

    def check_distinct(
        self, subject: str, terms: SubjectAttributes, listed: Collection[str] = ()
    ) -> None:
        """Raise ConfigError for a statement on a person who is neither enrolled nor `listed`."""
        keys = {name_key(name) for name in listed}
        for other in terms.not_duplicates or ():
            if name_key(other) == name_key(subject):
                raise ConfigError(f"--not-a-duplicate {other}: the same name; name another person")
            if self._roll.find(other) is None and name_key(other) not in keys:
                raise ConfigError(
                    f"--not-a-duplicate {other}: not enrolled; edge-gallery list shows who is"
                )

    def has_templates(self, subject: str) -> bool:
        """Whether the subject has templates in the gallery."""
        known = self._roll.find(subject)
        return known is not None and len(known.templates) > 0

    def enroll(
        self,
        subject: str,
        samples: Sequence[FaceSample],
        terms: SubjectAttributes,
        *,
        replace: bool = False,
        at_least: int = 1,
    ) -> EnrollmentResult:
        """One person, all or nothing, durable on return; raises PhotoError, EngineError, GalleryError.

        `at_least`: how many photos must be left. Those whose templates the gallery has already are not stored twice.
        """
        self._roll.refresh()
        subject = self._roll.spelling(subject)
        known = self._roll.find(subject)
        record = self._record(subject, terms)
        samples, copies = _without_copies(samples)
        _check_count(subject, len(samples), at_least, ())
        enrolled = known.templates if known is not None and len(known.templates) else None
        kept_before = None if replace else enrolled
        settled = self._check_same_person(subject, record, samples, kept_before)
        _check_count(subject, len(settled.kept), at_least, settled.excluded)
        fresh = [samples[i] for i in settled.kept if not _is_in(samples[i], kept_before)]
        templates = self._templates(subject, fresh)
        self._record_distinct(subject, terms, known.record if known is not None else None)
        self._roll.enroll(subject, templates, record, chips=self._chips(fresh), replace=replace)
        return EnrollmentResult(
            stored=len(fresh) * (2 if self._masked_templates else 1),
            existing=0 if enrolled is None else len(enrolled),
            already_stored=len(settled.kept) - len(fresh),
            lowest_similarity=settled.lowest_similarity,
            left_out=(*copies, *(_refusal(samples[one.index], one) for one in settled.excluded)),
        )

    def _check_same_person(
        self,
        subject: str,
        record: SubjectRecord,
        samples: Sequence[FaceSample],
        kept_before: NDArray[np.float32] | None,
    ) -> ConsistencyResult:
        index = self._roll.index
        candidate = Enrollee(
            subject,
            [sample.name for sample in samples],
            lambda other: self._is_distinct(subject, record, other),
        )
        return check_same_person(
            candidate,
            np.stack([sample.probe.embedding for sample in samples]),
            index,
            self._bounds(index.templates),
            self._level,
            kept_before,
        )

    def _is_distinct(self, subject: str, record: SubjectRecord, other: str) -> bool:
        """Return True if a statement says that the two are different people."""
        known = self._roll.find(other)
        records = [record, *([known.record] if known is not None else [])]
        pair = pair_of(subject, other)
        return any(one.pair == pair for each in records for one in each.distinct)

    def _record_distinct(
        self, subject: str, terms: SubjectAttributes, known: SubjectRecord | None
    ) -> None:
        """Record new statements before anything is stored; raises RecordError."""
        before = {one.pair for one in known.distinct} if known is not None else set()
        for other in terms.not_duplicates or ():
            if pair_of(subject, other) not in before:
                self._note(subject, self._roll.spelling(other), terms.reason or "")

    def _record(self, subject: str, terms: SubjectAttributes) -> SubjectRecord:
        known = self._roll.find(subject)
        return self._registrar.build_record(
            subject, terms, known.record if known is not None else None
        )

    def _templates(self, subject: str, fresh: Sequence[FaceSample]) -> NDArray[np.float32]:
        """Bare ones first, then those with a mask, in the same order."""
        bare = [sample.probe.embedding for sample in fresh]
        worn = (
            [probe.embedding for probe in masked_probes(fresh, self._embedder, subject)]
            if self._masked_templates
            else []
        )
        return np.stack([*bare, *worn]) if bare else np.zeros((0, 0), np.float32)

    def _chips(self, fresh: Sequence[FaceSample]) -> list[bytes | None]:
        """Of the templates, for another model one day; a drawn mask can be drawn again."""
        if not self._keep_chips:
            return []
        bare: list[bytes | None] = [
            cv2.imencode(".png", sample.face.chip)[1].tobytes() for sample in fresh
        ]
        return bare + [None] * len(bare) if self._masked_templates else bare


def _is_in(sample: FaceSample, templates: NDArray[np.float32] | None) -> bool:
    """Return True if the gallery has the photo's template already."""
    return templates is not None and float((templates @ sample.probe.embedding).max()) >= _THE_SAME


def _without_copies(samples: Sequence[FaceSample]) -> tuple[list[FaceSample], list[Refusal]]:
    """Separate copies from the samples: copies of one photo must not outvote others."""
    kept: list[FaceSample] = []
    copies: list[Refusal] = []
    for sample in samples:
        same = next((one for one in kept if _is_in(sample, one.probe.embedding[None])), None)
        if same is None:
            kept.append(sample)
        else:
            words = f"{sample.name}: the same photo as {same.name}"
            copies.append(Refusal(sample.name, RefusalReason.SAME_PHOTO, words, sample.components))
    return kept, copies


def _check_count(
    subject: str, found: int, at_least: int, left_out: Sequence[ExcludedSample]
) -> None:
    if found < max(1, at_least):
        because = f" ({'; '.join(one.message for one in left_out)})" if left_out else ""
        raise PhotoError(
            RefusalReason.TOO_FEW_PHOTOS,
            f"{subject}: {count(found, 'photo')} can be used, {max(1, at_least)} needed"
            f"{because}; add photos",
        )


def _refusal(sample: FaceSample, left_out: ExcludedSample) -> Refusal:
    return Refusal(sample.name, left_out.reason, left_out.message, sample.components)


def check_level(wanted: QualityLevel | None, configured: QualityLevel) -> QualityLevel:
    """The level that holds; raises ConfigError where it would be loosened."""
    order: tuple[QualityLevel, ...] = ("off", "standard", "strict")
    if wanted is not None and order.index(wanted) < order.index(configured):
        raise ConfigError(
            f"--quality {wanted}: the configuration demands {configured}, and the command may only tighten it"
        )
    return wanted or configured
