"""Sample log of three segments to tamper with, and its verification."""

from __future__ import annotations

import itertools
from pathlib import Path

from edge.audit.chain import ChainLine, build_line, parse_line
from edge.audit.report import VerificationReport
from edge.audit.segments import list_segments
from edge.audit.verify import ExpectedRecord, verify_log
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import default_key_path, read_keys, read_state

OF = "lobby-1/decisions"
PEOPLE = ("Ada", "Ben", "Cleo", "Dora")
BEGAN = 1.8e9


class Record:
    """Twelve records in three segments, four people in turn."""

    def __init__(
        self, folder: Path, count: int = 12, log_id: str = OF, segment_bytes: int = 1500
    ) -> None:
        self.folder, self.log_id, self.segment_bytes = folder, log_id, segment_bytes
        self.write(count)

    def write(self, count: int, day: int = 0, **options: object) -> None:
        wall = itertools.count(BEGAN + day * 86400.0)
        log = self.open(wall=lambda: next(wall), **options)
        for number in range(count):
            log.append(
                {
                    "kind": "decision",
                    "verdict": "grant",
                    "frame": number,
                    "subject": PEOPLE[number % 4],
                }
            )
        log.close()

    def open(self, **options: object) -> AuditLogWriter:
        return AuditLogWriter(
            self.folder, log_id=self.log_id, **{"segment_bytes": self.segment_bytes, **options}
        )  # type: ignore[arg-type]

    @property
    def paths(self) -> list[Path]:
        return list_segments(self.folder)

    def lines(self) -> list[bytes]:
        return b"".join(path.read_bytes() for path in self.paths).splitlines(keepends=True)

    def put(self, lines: list[bytes]) -> None:
        """Replace the lines; each segment keeps its count, the last one takes the rest."""
        counts = [len(path.read_bytes().splitlines()) for path in self.paths]
        for path, count in zip(self.paths, [*counts[:-1], len(lines)], strict=True):
            path.write_bytes(b"".join(lines[:count]))
            lines = lines[count:]

    def at(self, number: int) -> ChainLine:
        line = parse_line(self.lines()[number - 1].rstrip(b"\n"))
        assert line is not None
        return line

    def rewrite(self, since: int, key: bytes, **changes: object) -> None:
        """Rewrite the records from an id on with the key of that record."""
        from edge.audit.chain import next_key

        lines, before = self.lines(), self.at(since - 1).hash
        for number in range(since, len(lines) + 1):
            line = self.at(number)
            public = {
                k: v for k, v in line.public.items() if k not in ("commit", "hash", "mac")
            } | changes
            if "prev" in public:
                public["prev"] = before.hex()
            lines[number - 1], before = build_line(public, {"subject": "Eve"}, before, key)
            key, changes = next_key(key), {}
        self.put(lines)

    def verify(
        self,
        expected: ExpectedRecord | None = None,
        *,
        state: bool = True,
        log_id: str | None = OF,
        keys: bool = True,
    ) -> VerificationReport:
        first = read_keys(default_key_path(self.folder)) if keys else []
        return verify_log(
            self.folder,
            first,
            log_id=log_id,
            expected=expected,
            state=read_state(self.folder) if state else None,
        )

    def found(self, expected: ExpectedRecord | None = None) -> list[tuple[str, int]]:
        """Return code and record id of the findings."""
        return [(finding.code, finding.id) for finding in self.verify(expected).findings]
