"""Enrollment of one person: checked, recorded and stored, or refused with a reason."""

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
from edge.system.text import format_count

_SAME_PHOTO = 0.9999  # least cosine of two embeddings computed from one photo


@dataclass(frozen=True, slots=True)
class EnrollmentResult:
    """Result of a person's enrollment."""

    stored: int  # new templates
    existing: int  # templates stored before; --replace removes them
    already_stored: int  # photos whose templates are in the gallery already
    lowest_similarity: float  # of two kept photos
    left_out: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class EnrollmentRules:
    """Rules of a gallery for every enrollment."""

    level: QualityLevel
    masked_templates: bool  # store each face once more with a drawn mask
    keep_chips: bool  # store chips, to compute templates for another model


class Enroller:
    """Checks, records and stores people one by one."""

    def __init__(
        self,
        embedder: Embedder,
        thresholds: Callable[[int], MatchThresholds],
        subjects: EnrolledSubjects,
        policy: AttributePolicy,
        rules: EnrollmentRules,
        record_distinct: Callable[[str, str, str], None],
    ) -> None:
        """`thresholds`: by the gallery's number of templates.

        `record_distinct`: records subject, other subject and the reason why they are two people.
        """
        self._embedder = embedder
        self._thresholds = thresholds
        self._subjects = subjects
        self._policy = policy
        self._rules = rules
        self._record_distinct = record_distinct

    def check_attributes(self, subject: str, attributes: SubjectAttributes) -> None:
        """Check attributes before photos are read; raises PhotoError no-consent, invalid-dates."""
        self._build_record(subject, attributes)

    def check_distinct(
        self, subject: str, attributes: SubjectAttributes, listed: Collection[str] = ()
    ) -> None:
        """Raise ConfigError for a statement on a person who is neither enrolled nor `listed`."""
        keys = {name_key(name) for name in listed}
        for other in attributes.not_duplicates or ():
            if name_key(other) == name_key(subject):
                raise ConfigError(f"--not-a-duplicate {other}: the same name; name another person")
            if self._subjects.find(other) is None and name_key(other) not in keys:
                raise ConfigError(
                    f"--not-a-duplicate {other}: not enrolled; edge-gallery list shows who is"
                )

    def has_templates(self, subject: str) -> bool:
        """Return True if the subject has templates in the gallery."""
        known = self._subjects.find(subject)
        return known is not None and len(known.templates) > 0

    def enroll(
        self,
        subject: str,
        samples: Sequence[FaceSample],
        attributes: SubjectAttributes,
        *,
        replace: bool,
        min_photos: int,
    ) -> EnrollmentResult:
        """Enroll one person completely or not at all, durable on return.

        Photos whose templates are stored already are not stored twice. Raises PhotoError, also if
        fewer than `min_photos` are left; EngineError, GalleryError.
        """
        self._subjects.refresh()
        subject = self._subjects.spelling(subject)
        known = self._subjects.find(subject)
        record = self._build_record(subject, attributes)
        samples, copies = _without_copies(samples)
        _check_count(subject, len(samples), min_photos, ())
        existing = known.templates if known is not None and len(known.templates) else None
        kept_templates = None if replace else existing
        checked = self._check_same_person(subject, record, samples, kept_templates)
        _check_count(subject, len(checked.kept), min_photos, checked.excluded)
        fresh = [samples[i] for i in checked.kept if not _is_in(samples[i], kept_templates)]
        templates = self._templates(subject, fresh)
        self._record_statements(subject, attributes, known.record if known is not None else None)
        self._subjects.enroll(subject, templates, record, chips=self._chips(fresh), replace=replace)
        return EnrollmentResult(
            stored=len(templates),
            existing=0 if existing is None else len(existing),
            already_stored=len(checked.kept) - len(fresh),
            lowest_similarity=checked.lowest_similarity,
            left_out=(*copies, *(_refusal(samples[one.index], one) for one in checked.excluded)),
        )

    def _check_same_person(
        self,
        subject: str,
        record: SubjectRecord,
        samples: Sequence[FaceSample],
        kept_templates: NDArray[np.float32] | None,
    ) -> ConsistencyResult:
        index = self._subjects.index
        enrollee = Enrollee(
            subject,
            [sample.name for sample in samples],
            lambda other: self._is_distinct(subject, record, other),
        )
        return check_same_person(
            enrollee,
            np.stack([sample.probe.embedding for sample in samples]),
            index,
            self._thresholds(index.templates),
            self._rules.level,
            kept_templates,
        )

    def _is_distinct(self, subject: str, record: SubjectRecord, other: str) -> bool:
        """Return True if a statement says that the two are different people."""
        known = self._subjects.find(other)
        records = [record, *([known.record] if known is not None else [])]
        pair = pair_of(subject, other)
        return any(one.pair == pair for each in records for one in each.distinct)

    def _record_statements(
        self, subject: str, attributes: SubjectAttributes, known: SubjectRecord | None
    ) -> None:
        """Record new statements before anything is stored; raises RecordError."""
        stored = {one.pair for one in known.distinct} if known is not None else set()
        for other in attributes.not_duplicates or ():
            if pair_of(subject, other) not in stored:
                spelling = self._subjects.spelling(other)
                self._record_distinct(subject, spelling, attributes.reason or "")

    def _build_record(self, subject: str, attributes: SubjectAttributes) -> SubjectRecord:
        known = self._subjects.find(subject)
        record = known.record if known is not None else None
        return self._policy.build_record(subject, attributes, record)

    def _templates(self, subject: str, samples: Sequence[FaceSample]) -> NDArray[np.float32]:
        """Return the templates (N,D): the bare faces, then those with a drawn mask."""
        probes = [sample.probe for sample in samples]
        if self._rules.masked_templates:
            probes += masked_probes(samples, self._embedder, subject)
        embeddings = [probe.embedding for probe in probes]
        return np.stack(embeddings) if embeddings else np.zeros((0, 0), np.float32)

    def _chips(self, samples: Sequence[FaceSample]) -> list[bytes | None]:
        """Return the PNG chips of the bare templates; a drawn mask can be drawn again."""
        if not self._rules.keep_chips:
            return []
        bare: list[bytes | None] = [
            cv2.imencode(".png", sample.face.chip)[1].tobytes() for sample in samples
        ]
        return bare + [None] * len(bare) if self._rules.masked_templates else bare


def _is_in(sample: FaceSample, templates: NDArray[np.float32] | None) -> bool:
    """Return True if the gallery has the photo's template already."""
    return (
        templates is not None and float((templates @ sample.probe.embedding).max()) >= _SAME_PHOTO
    )


def _without_copies(samples: Sequence[FaceSample]) -> tuple[list[FaceSample], list[Refusal]]:
    """Separate copies of a photo from the samples, so that they do not outvote others."""
    kept: list[FaceSample] = []
    copies: list[Refusal] = []
    for sample in samples:
        same = next((one for one in kept if _is_in(sample, one.probe.embedding[None])), None)
        if same is None:
            kept.append(sample)
        else:
            message = f"{sample.name}: the same photo as {same.name}"
            copies.append(
                Refusal(sample.name, RefusalReason.SAME_PHOTO, message, sample.components)
            )
    return kept, copies


def _check_count(
    subject: str, found: int, min_photos: int, excluded: Sequence[ExcludedSample]
) -> None:
    if found < max(1, min_photos):
        because = f" ({'; '.join(one.message for one in excluded)})" if excluded else ""
        raise PhotoError(
            RefusalReason.TOO_FEW_PHOTOS,
            f"{subject}: {format_count(found, 'photo')} can be used, {max(1, min_photos)} needed"
            f"{because}; add photos",
        )


def _refusal(sample: FaceSample, excluded: ExcludedSample) -> Refusal:
    return Refusal(sample.name, excluded.reason, excluded.message, sample.components)


def check_level(wanted: QualityLevel | None, configured: QualityLevel) -> QualityLevel:
    """Return the level that applies; raises ConfigError if it is below the configured one."""
    order: tuple[QualityLevel, ...] = ("off", "standard", "strict")
    if wanted is not None and order.index(wanted) < order.index(configured):
        raise ConfigError(
            f"--quality {wanted}: the configuration demands {configured}; "
            "the option may only tighten it"
        )
    return wanted or configured
