"""Report of a bulk enrollment, one line of JSON per person, from which a later run resumes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Literal

from edge.errors import RecordError
from edge.gallery.enrollment.attributes import SubjectAttributes
from edge.gallery.enrollment.photos import Refusal
from edge.gallery.enrollment.refusals import RefusalReason
from edge.names import name_key
from edge.system.accounts import acting_as_owner


@dataclass(frozen=True, slots=True)
class JournalLine:
    """Result of one person's enrollment; the field names are the keys in the file."""

    subject: str
    digest: str  # of all inputs
    enrolled: bool
    dry_run: bool
    stored: int  # templates
    reason: RefusalReason | Literal[""]  # empty if the person is enrolled
    photos: tuple[Refusal, ...]  # refused or left out


def enrollment_digest(
    photos: Iterable[str], attributes: SubjectAttributes, options: Iterable[object]
) -> str:
    """Return the SHA-256 of an enrollment's inputs; `photos`: digests of their bytes, any order."""
    inputs = [sorted(photos), astuple(attributes), list(options)]
    return hashlib.sha256(json.dumps(inputs, default=str).encode()).hexdigest()


class EnrollmentJournal:
    """Append-only report that is durable line by line; without a path nothing is written."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file; raises RecordError if it is not such a report."""
        self._path, self._fd = path, -1
        self._digests: dict[str, str] = {}
        if path is None:
            return
        try:
            with acting_as_owner(path.parent):
                self._fd = os.open(
                    path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
                )
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise RecordError(f"{path}: not a regular file; name another file")
            with os.fdopen(os.dup(self._fd), "rb") as file:
                content = file.read()
        except RecordError:
            os.close(self._fd)
            raise
        except OSError as error:
            raise RecordError(
                f"{path}: the report cannot be opened: {error.strerror}; name another file"
            ) from error
        self._read(path, content)

    def _read(self, path: Path, content: bytes) -> None:
        complete, _, partial = content.rpartition(b"\n")
        for number, line in enumerate(complete.splitlines(), 1):
            try:
                row = json.loads(line)
                is_stored = row["enrolled"] and not row["dry_run"]
                self._digests[name_key(row["subject"])] = row["digest"] if is_stored else ""
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise RecordError(
                    f"{path}: line {number} is not from a report of edge-enroll; name another file"
                ) from error
        if partial and complete == b"" and not partial.startswith(b'{"subject"'):
            raise RecordError(f"{path}: not a report of edge-enroll; name another file")
        if partial:  # left by a crash: that person is enrolled and reported again
            os.truncate(self._fd, len(content) - len(partial))

    def is_enrolled(self, subject: str, digest: Callable[[], str]) -> bool:
        """Return True if an earlier run has enrolled the subject from the same inputs."""
        stored = self._digests.get(name_key(subject))
        return bool(stored) and stored == digest()

    def append(self, line: JournalLine) -> None:
        """Write a line durably; raises RecordError."""
        if self._fd < 0:
            return
        encoded = json.dumps(asdict(line)).encode() + b"\n"
        try:
            if os.write(self._fd, encoded) != len(encoded):
                raise OSError("the disk took only part of it")
            os.fsync(self._fd)
        except OSError as error:
            raise RecordError(
                f"{self._path}: the report cannot be written: {error}; run the command again"
            ) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
