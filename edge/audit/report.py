"""Report of a verification."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.audit.chain import ChainLine
from edge.audit.findings import FindingCode

FINDINGS_MAX = 10_000  # more are counted only


@dataclass(frozen=True, slots=True)
class VerificationFinding:
    """Deviation of a log from what its writer produces."""

    code: FindingCode
    location: str  # segment and line
    id: int  # of the record, or of the first record that is concerned
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.code.value}: {self.message}"


@dataclass(slots=True)
class VerificationReport:
    """Number of records that were checked, and findings."""

    findings: list[VerificationFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    first_id: int = 0
    last: ChainLine | None = None
    records: int = 0
    authentic: int = 0  # records whose MAC was checked and fits
    erased: int = 0
    unlisted: int = 0  # findings beyond those that are listed

    @property
    def last_id(self) -> int:
        """Id of the newest record, 0 without records."""
        return self.last.id if self.last else 0

    def add(self, code: FindingCode, location: str, record_id: int, message: str) -> None:
        """Add a finding."""
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(VerificationFinding(code, location, record_id, message))
        else:
            self.unlisted += 1

    def withdraw(self, finding: VerificationFinding) -> None:
        """Remove a finding that later lines explain."""
        if finding in self.findings:
            self.findings.remove(finding)


def format_span(ids: range) -> str:
    """Return ids in words."""
    return f"record {ids[0]}" if len(ids) == 1 else f"records {ids[0]} to {ids[-1]}"
