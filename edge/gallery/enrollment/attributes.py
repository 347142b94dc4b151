"""What is noted of a person beside the templates: rights, consent and how long all of it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Literal

from edge.errors import ConfigError, PhotoError
from edge.gallery.enrollment.refusals import RefusalReason
from edge.names import is_printable, normalize_name
from edge.subject import Consent, Distinct, SubjectRecord, pair_of

# Usable photos that a person must have, by the level of quality.
PHOTOS_MIN: Mapping[str, int] = {"off": 1, "standard": 1, "strict": 3}
# Photos that must agree before another one is left out: of two photos, either may be wrong.
AGREEING_MIN = 3
_TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class SubjectAttributes:
    """What is asked for a person; None leaves what is known of them."""

    extended: bool | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    groups: tuple[str, ...] | None = None
    mask: Literal["as-configured", "any"] | None = None
    liveness: Literal["as-configured", "no-challenge"] | None = None
    consent: str | None = None
    erase_on: date | None = None
    not_duplicates: tuple[str, ...] | None = None  # subjects that are other people
    reason: str | None = None  # the operator's reason for that

    def with_defaults(self, default: SubjectAttributes) -> SubjectAttributes:
        """These, and where they say nothing the default's."""
        said = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return replace(default, **said)


@dataclass(frozen=True, slots=True)
class AttributePolicy:
    """Who notes it, when, and by which rules of the config."""

    account: str
    today: date
    consent_required: bool = False
    erase_after_days: int | None = None

    def build_record(
        self, subject: str, terms: SubjectAttributes, known: SubjectRecord | None
    ) -> SubjectRecord:
        """The subject's whole record; raises PhotoError no-consent or invalid-dates."""
        known = known or SubjectRecord()
        said = {
            name: value
            for name in ("extended", "valid_from", "valid_until", "groups", "mask", "liveness")
            if (value := getattr(terms, name)) is not None
        }
        consent = (
            known.consent
            if terms.consent is None
            else Consent(self.today, self.account, terms.consent)
        )
        if consent is None and self.consent_required:
            raise PhotoError(
                RefusalReason.NO_CONSENT,
                f"{subject}: `enrollment.consent` of the configuration asks for the person's consent; "
                "note it with --consent and where it lies",
            )
        record = replace(
            known,
            **said,
            consent=consent,
            erase_on=self._erase_on(terms, known),
            distinct=(*known.distinct, *self._distinct(subject, terms, known)),
        )
        if record.valid_from and record.valid_until and record.valid_from > record.valid_until:
            raise PhotoError(
                RefusalReason.INVALID_DATES,
                f"{subject}: valid from {record.valid_from}, which is after {record.valid_until}",
            )
        if record.erase_on and record.erase_on <= self.today:
            raise PhotoError(
                RefusalReason.INVALID_DATES,
                f"{subject}: to be erased on {record.erase_on}, which is not after {self.today}",
            )
        return record

    def _distinct(
        self, subject: str, terms: SubjectAttributes, known: SubjectRecord
    ) -> list[Distinct]:
        """Return the statements that are not stored yet."""
        before = {one.pair for one in known.distinct}
        pairs = [pair_of(subject, other) for other in terms.not_duplicates or ()]
        return [
            Distinct(pair, self.today, self.account, terms.reason or "")
            for pair in dict.fromkeys(pairs)
            if pair not in before
        ]

    def _erase_on(self, terms: SubjectAttributes, known: SubjectRecord) -> date | None:
        if terms.erase_on is None and self.erase_after_days is not None:
            return self.today + timedelta(days=self.erase_after_days)
        return terms.erase_on or known.erase_on


def parse_words(text: str) -> str:
    """Words of a consent, or the name of a group; raises ConfigError."""
    words = normalize_name(text)
    if not words or len(words) > _TEXT_MAX or not is_printable(words):
        raise ConfigError(f"expected 1 to {_TEXT_MAX} printable characters, found {text[:40]!r}")
    return words
