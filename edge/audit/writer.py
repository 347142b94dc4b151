"""Writer of an append-only, tamper-evident audit log.

A log is a folder of segments with lines of `chain.py` and the state of `writer_state.py`. One
record is one write. One process writes, any process may read.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.audit import retention as retention_steps
from edge.audit.chain import LINE_MAX, build_line, encode, next_key, parse_line
from edge.audit.clock import LATEST_BELIEVED, trust_from_records
from edge.audit.kinds import RetentionReason
from edge.audit.reader import read_newest_first, read_tail
from edge.audit.record_fields import Fields, split_fields
from edge.audit.recovery import recover, skip_to
from edge.audit.retention import Retention
from edge.audit.segments import segment_path
from edge.audit.writer_state import WriterState, WriterStateFile
from edge.errors import RecordError
from edge.system.atomic_files import make_folder, open_regular, sync_folder
from edge.system.wallclock import DAY_S, ClockTrust, WallClock

SEGMENT_BYTES = 4 << 20
EncryptText = Callable[[int, str], str]  # of a record id and a text


class AuditLogWriter:
    """Appends records whose ids count up over restarts; `log_id` names terminal and log."""

    def __init__(
        self,
        folder: Path,
        *,
        log_id: str = "",
        encrypt: EncryptText | None = None,
        retention: Retention | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._log_id, self._encrypt = folder, log_id, encrypt
        self.clock = WallClock(_stored_trust(folder), wall)  # may be replaced at any time
        self._segment_bytes = segment_bytes
        self.retention = retention  # may be changed at any time
        self.lost = 0  # records lost since the last one that was written
        self._torn = 0  # lines since then that are invalid or not acknowledged
        self._state = WriterState(1, b"")
        self._end = 0  # bytes of the present segment that this writer has written or read
        self._day = -1.0  # on which the present segment began
        self._ends_in_line = False  # the segment ends in the middle of a line
        self._fd = -1  # of the present segment; none until the first record is written
        self._file: WriterStateFile | None = None
        self._gaps: list[dict[str, Any]] = []  # records to write before any other
        self._steps: Iterator[None] | None = None  # of the maintenance
        self._maintained = -1.0  # day of the last maintenance
        try:
            make_folder(folder, 0o750)
            self._continue()
        except OSError as error:
            self.close()
            raise RecordError(
                f"{folder}: cannot open the audit log: {error.strerror}; check folder and rights"
            ) from error

    def append(self, fields: Fields, *, durable: bool = True) -> int:
        """Write one record with id and times; return its id. `durable`: on disk on return.

        Raises RecordError; the log then ends where it ended before, and the next record has the
        number of `lost` records.
        """
        while self._gaps:
            self._put(self._gaps[0], durable)
            del self._gaps[0]
        return self._put(fields, durable)

    def last(self, field: str) -> Any:
        """Return the newest value of a field at the end of the log, None if there is none."""
        try:
            newest = read_newest_first(self._folder)
        except OSError:
            return None
        return next((record[field] for record in newest if field in record), None)

    def run_maintenance(self) -> None:
        """Run one step of the retention, which takes some milliseconds, if one is due.

        After a step that fails the retention is tried again the next day.
        """
        now, doubt = self.clock.read_with_doubt()
        if self._steps is None and self.retention is not None and now // DAY_S != self._maintained:
            self._maintained = now // DAY_S
            self._steps = retention_steps.maintenance_steps(
                self._folder,
                self.retention,
                now,
                doubt,
                self._state.blanked_up_to,
                self._append_retention,
            )
        if self._steps is not None:
            try:
                next(self._steps)
            except (StopIteration, OSError):  # includes RecordError
                self._steps = None

    def close(self) -> None:
        """Close the files; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
        if self._file is not None:
            self._file.close()
        self._fd, self._file = -1, None

    def _continue(self) -> None:
        """Continue after the newest record. Raises OSError."""
        found = recover(self._folder)
        self._state, self._file, self._gaps = found.state, found.file, found.gaps
        self._torn = int(found.end.torn)
        if found.end.segment is not None:
            self._fd = open_to_append(found.end.segment)
            self._day = _first_day(found.end.segment)
            self._end = os.fstat(self._fd).st_size

    def _put(self, fields: Fields, durable: bool) -> int:
        number = self._state.next_id
        wall, doubt = self.clock.read_with_doubt()
        # The first record is always synced: its loss would look like a removed start.
        durable = durable or not self._state.durable
        public, personal, sealed = split_fields(fields)
        if sealed and self._encrypt is not None:
            personal["sealed"] = self._encrypt(number, encode(sealed))
        else:
            personal |= sealed
        if doubt:
            public = {LATEST_BELIEVED: round(self.clock.latest, 3), **public}
        try:
            self._check_end()
            self._rotate_segment(wall)
            public = {
                "id": number,
                "wall": round(wall, 3),
                "mono": round(time.monotonic(), 4),
                **public,
                **self._chain_fields(wall),
            }
            line, digest = build_line(public, personal, self._state.hash, self._state.key)
            self._write(b"\n" + line if self._ends_in_line else line, durable)
        except OSError as error:
            self.lost += 1
            raise RecordError(f"{self._folder}: the record was not written: {error}") from error
        self._torn = self.lost = 0
        self._step(digest, number if durable else self._state.durable)
        return number

    def _chain_fields(self, wall: float) -> dict[str, Any]:
        """Return the fields of a segment's first line, and the counts of lost and torn lines."""
        fields: dict[str, Any] = {}
        if not self._end:
            fields = {"of": self._log_id, "prev": self._state.hash.hex()}
            self._day = wall // DAY_S
        counts = {"lost": self.lost, "torn": self._torn}
        return fields | {name: count for name, count in counts.items() if count}

    def _step(self, digest: bytes, durable: int) -> None:
        """Advance the state by one record; the key of the written record is dropped."""
        self._state = replace(
            self._state,
            next_id=self._state.next_id + 1,
            key=next_key(self._state.key),
            hash=digest,
            durable=durable,
        )
        self._save_state()

    def _save_state(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(self._state)

    def _rotate_segment(self, wall: float) -> None:
        """Begin a segment if there is none, it is full, or the day has changed. Raises OSError."""
        is_other_day = bool(self._end) and wall // DAY_S != self._day
        if self._fd >= 0 and self._end < self._segment_bytes and not is_other_day:
            return
        if self._fd >= 0:
            # Only the newest segment may end in records that were never acknowledged.
            os.fsync(self._fd)
        path = segment_path(self._folder, self._state.next_id)
        fd = -1
        try:
            fd = open_to_append(path, os.O_CREAT)
            sync_folder(self._folder)
        except OSError:
            if fd >= 0:
                os.close(fd)
            if self._fd < 0:
                raise
            return  # continue the full segment
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._end, self._day = fd, os.fstat(fd).st_size, wall // DAY_S
        self._ends_in_line = False

    def _check_end(self) -> None:
        """Find out if the segment ends in the middle of a line: of a failed write or an erasure."""
        if self._fd < 0:
            return
        size = os.fstat(self._fd).st_size
        self._ends_in_line = (
            (size != self._end or bool(self._torn))
            and bool(size)
            and os.pread(self._fd, 1, size - 1) != b"\n"
        )
        self._end, self._torn = size, max(self._torn, self._ends_in_line)

    def _write(self, line: bytes, durable: bool) -> None:
        """Write a line completely or not at all. Raises OSError.

        A part that cannot be truncated keeps its id; the next line marks it as torn.
        """
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError("the disk took only part of the record")
            if durable:
                os.fsync(self._fd)
        except OSError:
            try:
                os.ftruncate(self._fd, self._end)
            except OSError:  # a file system that turned read-only
                self._torn += 1
                self._state = skip_to(self._state, self._state.next_id + 1)
            raise
        self._end += len(line)

    def _append_retention(self, fields: Fields) -> None:
        """Record what the retention did."""
        self._put(fields, durable=True)
        if fields["reason"] == RetentionReason.BLANKED:
            self._state = replace(self._state, blanked_up_to=fields["upto"])
            self._save_state()


def _stored_trust(folder: Path) -> ClockTrust:
    """Return the clock trust that the log gives; empty if it cannot be read."""
    try:
        return trust_from_records(read_tail(folder))
    except RecordError:
        return ClockTrust()


def open_to_append(path: Path, flags: int = 0) -> int:
    """Return a descriptor of a segment for appending. Raises OSError."""
    return open_regular(path, flags | os.O_RDWR | os.O_APPEND)


def _first_day(segment: Path) -> float:
    """Return the day of a segment's first record, -1 if it has none."""
    with os.fdopen(open_regular(segment), "rb") as file:
        first = parse_line(file.readline(LINE_MAX).rstrip(b"\n"))
    wall = first.public.get("wall") if first else None
    return float(wall // DAY_S) if isinstance(wall, (int, float)) else -1.0
