"""The report of a bulk, a line of JSON for each person as soon as they are done: also what a later run goes on from."""

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
    """What came of one person."""

    subject: str
    digest: str  # of what it came from
    enrolled: bool
    dry_run: bool
    stored: int  # templates
    reason: RefusalReason | Literal[""]  # empty if the person is enrolled
    photos: tuple[Refusal, ...]  # refused or left out


def enrollment_digest(
    photos: Iterable[str], terms: SubjectAttributes, way: Iterable[object]
) -> str:
    """Of all that an enrollment depends on: digests of the photos in any order, what is noted, and how it is done."""
    return hashlib.sha256(
        json.dumps([sorted(photos), astuple(terms), list(way)], default=str).encode()
    ).hexdigest()


class EnrollmentJournal:
    """Opened before the work; each line is on disk when `note` returns. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        """Raises RecordError, also where the file is no such report."""
        self._path, self._fd = path, -1
        self._done: dict[str, str] = {}
        if path is None:
            return
        try:
            with acting_as_owner(path.parent):
                self._fd = os.open(
                    path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600
                )
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise RecordError(f"{path}: not a plain file; name another")
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
        whole, _, torn = content.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                self._done[name_key(row["subject"])] = (
                    row["digest"] if row["enrolled"] and not row["dry_run"] else ""
                )
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise RecordError(
                    f"{path}: line {number} is not of a report of edge-enroll; name another file"
                ) from error
        if torn and whole == b"" and not torn.startswith(b'{"subject"'):
            raise RecordError(f"{path}: not a report of edge-enroll; name another file")
        if torn:  # by a crash: that person is told again
            os.truncate(self._fd, len(content) - len(torn))

    def has(self, subject: str, digest: Callable[[], str]) -> bool:
        """Whether a run before has enrolled the subject just so."""
        before = self._done.get(name_key(subject))
        return bool(before) and before == digest()

    def append(self, line: JournalLine) -> None:
        """Raises RecordError."""
        if self._fd < 0:
            return
        encoded = json.dumps(asdict(line)).encode() + b"\n"
        try:
            if os.write(self._fd, encoded) != len(encoded):
                raise OSError("the disk took only part of it")
            os.fsync(self._fd)
        except OSError as error:
            raise RecordError(
                f"{self._path}: the report cannot be written: {error}; run it again to go on"
            ) from error

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
