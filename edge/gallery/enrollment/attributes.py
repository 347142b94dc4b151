"""Attributes stored with a person's templates: preferences, consent and retention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Literal

from edge.errors import ConfigError, PhotoError
from edge.gallery.enrollment.refusals import RefusalReason
from edge.names import is_printable, normalize_name
from edge.subject import Consent, DistinctStatement, SubjectRecord, pair_of

# Usable photos that a person must have, by the level of quality.
PHOTOS_MIN: Mapping[str, int] = {"off": 1, "standard": 1, "strict": 3}
# Photos that must agree before another one is left out: of two photos, either may be wrong.
AGREEING_MIN = 3
_TEXT_MAX = 500
# Attributes that replace the stored ones as they are.
_PREFERENCES = ("mask", "liveness")


@dataclass(frozen=True, slots=True)
class SubjectAttributes:
    """Attributes given for a person; None leaves the stored value."""

    mask: Literal["as-configured", "any"] | None = None
    liveness: Literal["as-configured", "no-challenge"] | None = None
    consent: str | None = None
    erase_on: date | None = None
    not_duplicates: tuple[str, ...] | None = None  # subjects that are other people
    reason: str | None = None  # the operator's reason for that

    def with_defaults(self, default: SubjectAttributes) -> SubjectAttributes:
        """Return these attributes, with those of `default` for each None."""
        return replace(default, **_given(self, [field.name for field in fields(self)]))


@dataclass(frozen=True, slots=True)
class AttributePolicy:
    """Builds records by the rules of the configuration."""

    account: str  # of the operator
    today: date
    consent_required: bool
    erase_after_days: int | None

    def build_record(
        self, subject: str, attributes: SubjectAttributes, known: SubjectRecord | None
    ) -> SubjectRecord:
        """Build the subject's new record; raises PhotoError no-consent or invalid-dates."""
        known = known or SubjectRecord()
        consent = known.consent
        if attributes.consent is not None:
            consent = Consent(self.today, self.account, attributes.consent)
        if consent is None and self.consent_required:
            raise PhotoError(
                RefusalReason.NO_CONSENT,
                f"{subject}: no consent is on record, but `enrollment.consent` requires it; "
                "give --consent with the place of the signed form",
            )
        record = replace(
            known,
            **_given(attributes, _PREFERENCES),
            consent=consent,
            erase_on=self._erase_on(attributes, known),
            distinct=(*known.distinct, *self._new_statements(subject, attributes, known)),
        )
        self._check_erasure(subject, record)
        return record

    def _check_erasure(self, subject: str, record: SubjectRecord) -> None:
        if record.erase_on and record.erase_on <= self.today:
            raise PhotoError(
                RefusalReason.INVALID_DATES,
                f"{subject}: to be erased on {record.erase_on}, which is not after {self.today}",
            )

    def _new_statements(
        self, subject: str, attributes: SubjectAttributes, known: SubjectRecord
    ) -> list[DistinctStatement]:
        """Return the statements on different people that are not stored yet."""
        stored = {one.pair for one in known.distinct}
        pairs = [pair_of(subject, other) for other in attributes.not_duplicates or ()]
        return [
            DistinctStatement(pair, self.today, self.account, attributes.reason or "")
            for pair in dict.fromkeys(pairs)
            if pair not in stored
        ]

    def _erase_on(self, attributes: SubjectAttributes, known: SubjectRecord) -> date | None:
        if attributes.erase_on is None and self.erase_after_days is not None:
            return self.today + timedelta(days=self.erase_after_days)
        return attributes.erase_on or known.erase_on


def _given(attributes: SubjectAttributes, names: Iterable[str]) -> dict[str, Any]:
    """Return the attributes of these names that are not None."""
    return {name: value for name in names if (value := getattr(attributes, name)) is not None}


def parse_words(text: str) -> str:
    """Return the normalised words of a consent or reason; raises ConfigError."""
    words = normalize_name(text)
    if not words or len(words) > _TEXT_MAX or not is_printable(words):
        raise ConfigError(f"expected 1 to {_TEXT_MAX} printable characters, found {text[:40]!r}")
    return words
