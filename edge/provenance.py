"""Provenance list of a model bundle: licence, origin and use of its weights and data."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from pydantic import AfterValidator, Field, field_validator, model_validator

from edge.frozen_model import FrozenModel, Sha256

Role = Literal[
    "weights",
    "training-data",
    "calibration-data",
    "teacher",
    "encoder",
    "detector",
    "liveness",
    "masks",
]
Use = Literal["commercial", "research-only", "unknown"]
UNKNOWN_LICENCE = "NOASSERTION"  # of SPDX
ENTRIES_MAX = 200
_LICENCE_CHARACTERS = re.compile(r"[A-Za-z0-9.+() -]{1,200}")
_NON_COMMERCIAL = re.compile(r"-NC(-|$)|noncommercial", re.IGNORECASE)


def _check_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"expected one line of text, found {text[:60]!a}")
    return text


_Line = Annotated[str, Field(max_length=300), AfterValidator(_check_line)]


def _is_spdx(licence: str) -> bool:
    """Return True for a valid SPDX licence expression or NOASSERTION."""
    if licence == UNKNOWN_LICENCE:
        return True
    if not _LICENCE_CHARACTERS.fullmatch(licence):
        return False
    try:
        canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        return False
    return True


class Origin(FrozenModel):
    """Publisher, package and version of an entry; None: unknown."""

    publisher: _Line | None = Field(None, description="person or organisation that publishes it")
    package: _Line | None = Field(None, description="package, repository or file")
    version: _Line | None = None

    def __str__(self) -> str:
        known = [part for part in (self.publisher, self.package, self.version) if part is not None]
        return ", ".join(known) or "unknown"


class ProvenanceEntry(FrozenModel):
    """One weight file, data set, teacher or other source of a bundle."""

    name: _Line
    role: Role
    licence: str = Field(
        description="SPDX licence expression, LicenseRef-NAME with `terms`, or NOASSERTION",
        examples=["MIT"],
    )
    terms: _Line | None = Field(None, description="terms of a LicenseRef licence, one line")
    origin: Origin = Origin()
    sha256: Sha256 | None = Field(None, description="digest of the file, if there is one")
    use: Use

    @field_validator("licence")
    @classmethod
    def _check_licence(cls, licence: str) -> str:
        if not _is_spdx(licence):
            raise ValueError(
                "expected an SPDX licence expression of https://spdx.org/licenses such as MIT, "
                f"LicenseRef-NAME with `terms`, or {UNKNOWN_LICENCE}, found {licence[:60]!r}"
            )
        return licence

    @model_validator(mode="after")
    def _check_statements(self) -> ProvenanceEntry:
        if "licenseref-" in self.licence.lower() and self.terms is None:
            raise ValueError(f"{self.name}: licence {self.licence} needs `terms` in one line")
        if self.use != "commercial":
            return self
        if self.licence == UNKNOWN_LICENCE:
            raise ValueError(
                f"{self.name}: use is commercial, but the licence is {UNKNOWN_LICENCE}; "
                "name the licence, or write use: unknown"
            )
        parts = re.split(r"[ ()]+", self.licence)
        if "OR" not in self.licence.upper().split() and any(map(_NON_COMMERCIAL.search, parts)):
            raise ValueError(
                f"{self.name}: use is commercial, but licence {self.licence} forbids it; "
                "write use: research-only"
            )
        if self.origin.publisher is None:
            raise ValueError(
                f"{self.name}: use is commercial, but origin.publisher is missing; "
                "name the publisher, or write use: unknown"
            )
        return self

    def __str__(self) -> str:
        terms = "" if self.terms is None else f": {self.terms}"
        return f"{self.role} {self.name} ({self.use}, {self.licence}{terms})"
