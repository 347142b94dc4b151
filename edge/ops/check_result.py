"""Result of a check of `edge-doctor`."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A line of the report. A warning or error states the remedy."""

    level: str
    subject: str
    message: str
