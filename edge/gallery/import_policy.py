"""Rules of an enrollment for people who come from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from edge.errors import GalleryError
from edge.gallery.template_checks import find_flaw
from edge.names import is_name, is_printable
from edge.subject import PersonRights, SubjectRecord

_WORDS_MAX = 500


@dataclass(frozen=True, slots=True)
class ImportPolicy:
    """Checks of a person: name, consent, dates and day of erasure.

    `today` is called only if a day of erasure depends on it; it raises GalleryError if the clock is
    in doubt.
    """

    today: Callable[[], date]
    consent_required: bool
    erase_after_days: int | None

    def check(self, name: str, record: SubjectRecord) -> SubjectRecord:
        """Return the record to store; raises GalleryError with the reason for a refusal."""
        if not is_name(name):
            raise GalleryError(
                f"expected a subject name of printable characters, found {name[:40]!r}"
            )
        self._check_consent(record)
        if record.unmoved_rights is not None:
            _check_rights(record.unmoved_rights)
        return replace(record, erase_on=self._erase_on(record))

    def _check_consent(self, record: SubjectRecord) -> None:
        if record.consent is not None:
            _check_words(record.consent.noted_by, "account that noted the consent")
            if record.consent.words:
                _check_words(record.consent.words, "consent")
        elif self.consent_required:
            raise GalleryError(
                "no consent is recorded, and `enrollment.consent` requires one; enroll the person "
                "with --consent, or record it on the other terminal and export again"
            )

    def _erase_on(self, record: SubjectRecord) -> date | None:
        """Return the earlier of the record's own day and the one that the configuration sets."""
        if record.erase_on is None and self.erase_after_days is None:
            return None
        today = self.today()
        days = [] if record.erase_on is None else [record.erase_on]
        if self.erase_after_days is not None:
            days.append(today + timedelta(days=self.erase_after_days))
        if min(days) <= today:
            raise GalleryError(f"was to be erased on {min(days)}, today is {today}")
        return min(days)


def _check_rights(rights: PersonRights) -> None:
    if rights.valid_from and rights.valid_until and rights.valid_from > rights.valid_until:
        raise GalleryError(f"valid from {rights.valid_from}, which is after {rights.valid_until}")
    for group in rights.groups:
        _check_words(group, "group")


def check_templates(templates: Sequence[NDArray[np.float32]], dimension: int) -> None:
    """Raise GalleryError if a template cannot be searched, or if there is no template."""
    if not len(templates):
        raise GalleryError("no template")
    for number, template in enumerate(templates, start=1):
        if flaw := find_flaw(template, dimension):
            raise GalleryError(f"template {number}: {flaw}")


def _check_words(words: str, what: str) -> None:
    if not words.strip() or len(words) > _WORDS_MAX or not is_printable(words):
        raise GalleryError(
            f"{what}: expected 1 to {_WORDS_MAX} printable characters, found {words[:40]!r}"
        )
