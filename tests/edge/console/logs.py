"""Audit logs of a recogniser and a door for tests of the console."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from edge.audit.writer import AuditLogWriter
from edge.console.records.log_file import LogFile

BEGAN = 1.8e9  # Unix time of the first record


class SampleLog:
    """Log whose clock advances by `step_s` with each record."""

    def __init__(
        self, folder: Path, *, began: float = BEGAN, step_s: float = 1.0, segment_bytes: int = 1200
    ) -> None:
        self.file = LogFile(folder.name, folder)
        self._wall = itertools.count(began, step_s)
        self._segment_bytes = segment_bytes
        self._writer = self._open()

    def _open(self) -> AuditLogWriter:
        return AuditLogWriter(
            self.file.folder,
            log_id=f"terminal/{self.file.name}",
            segment_bytes=self._segment_bytes,
            wall=lambda: next(self._wall),
        )

    def append(self, **fields: Any) -> int:
        """Write a record; return its number."""
        return self._writer.append(fields, durable=False)

    def decide(self, subject: str = "Ada", verdict: str = "grant", reason: str = "match") -> int:
        return self.append(kind="decision", verdict=verdict, reason=reason, subject=subject)

    def fill(self, count: int) -> None:
        """Write records of four people in turn."""
        for number in range(count):
            self.decide(("Ada", "Ben", "Cleo", "Dora")[number % 4])

    def restart(self) -> None:
        """Close the log and open it again."""
        self._writer.close()
        self._writer = self._open()

    def close(self) -> None:
        self._writer.close()
