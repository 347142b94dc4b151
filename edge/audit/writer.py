"""An append-only record that shows when it was changed: one record is one write, on disk before `append` returns.

A folder of segments, lines of `chain.py` in them, and the writer's `writer_state.py` beside them. One process writes, any may read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.audit import retention, writer_state
from edge.audit.chain import (
    ID_JUMP_MAX,
    KEY_BYTES,
    LINE_MAX,
    build_line,
    encode,
    next_key,
    parse_line,
    record_mac,
)
from edge.audit.clock import LATEST_BELIEVED, trust_from_records
from edge.audit.kinds import GapReason, RecordKind, RetentionReason
from edge.audit.privacy import Fields, split_fields
from edge.audit.reader import read_newest_first, read_tail
from edge.audit.recovery import mend
from edge.audit.retention import Retention
from edge.audit.segments import LogEnd, find_log_end, segment_path
from edge.audit.writer_state import VerificationKey, WriterState, WriterStateFile
from edge.errors import RecordError
from edge.system.atomic_files import make_folder, open_regular, sync_folder
from edge.system.wallclock import DAY_S, ClockTrust, WallClock

SEGMENT_BYTES = 4 << 20
Seal = Callable[[int, str], str]  # a text to the number of its record


class AuditLogWriter:
    """Records with an id that counts up over restarts. `of` names terminal and record, and stands at the head of each segment."""

    def __init__(
        self,
        folder: Path,
        *,
        log_id: str = "",
        encrypt: Seal | None = None,
        retention: Retention | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._log_id, self._seal = folder, log_id, encrypt
        self.clock = WallClock(_belief_at(folder), wall)  # may be replaced at any time
        self._segment_bytes = segment_bytes
        self.retention = retention  # may be changed at any time
        self.lost = 0  # records since the last that was written
        self._torn = 0  # lines since then that are no records, or were not acknowledged
        self._state = WriterState(1, b"")
        self._end = 0  # of the present segment, as far as we wrote it
        self._day = -1.0  # on which it began
        self._half = False  # whether it ends in the middle of a line
        self._fd = -1  # of the present segment; none until the first record is written
        self._file: WriterStateFile | None = None
        self._owed: list[
            dict[str, Any]
        ] = []  # what the log itself has to say, before anything else
        self._chores: Iterator[None] | None = None
        self._tended = -1.0  # the day
        try:
            make_folder(folder, 0o750)
            _mend(folder)
            try:
                self._resume(find_log_end(folder))
            except OSError:
                self.close()
                raise
        except OSError as error:
            raise RecordError(
                f"{folder}: cannot open the record: {error.strerror}; check folder and rights"
            ) from error

    def append(self, fields: Fields, *, durable: bool = True) -> int:
        """Write one record with id and times; its id. With `durable` it is on disk on return.

        Raises RecordError, and then the record ends where it ended before; the next one says how many were `lost`.
        """
        while self._owed:
            self._put(self._owed[0], durable)
            del self._owed[0]
        return self._put(fields, durable)

    def last(self, key: str) -> Any:
        """The newest value of a field in the end of the record; None where nothing there has it."""
        try:
            return next(
                (record[key] for record in read_newest_first(self._folder) if key in record), None
            )
        except OSError:
            return None

    def run_maintenance(self) -> None:
        """One step of what retention asks for, of some milliseconds; nothing where nothing is due. A step that fails is tried
        again the next day."""
        now, doubt = self.clock.read_with_doubt()
        if self._chores is None and self.retention is not None and now // DAY_S != self._tended:
            self._tended = now // DAY_S
            self._chores = retention.maintenance_steps(
                self._folder, self.retention, now, doubt, self._state.blanked_up_to, self._tell
            )
        if self._chores is not None:
            try:
                next(self._chores)
            except (StopIteration, OSError):  # of which RecordError is one
                self._chores = None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        if self._file is not None:
            self._file.close()
        self._fd, self._file = -1, None

    # Where it was left.

    def _resume(self, end: LogEnd) -> None:
        """Go on after the newest record; a state that is missing or of another record begins a new chain, and says so."""
        if end.segment is not None:
            self._fd = open_to_append(end.segment)
            self._day = _day_of(end.segment)
        self._torn = int(end.torn)
        if not self._recall(end):
            self._begin_chain(end)
        from_id, to_id = end.last.id + 1 if end.last else 1, self._state.next_id - 1
        if from_id <= to_id:
            is_cut = self._state.durable >= from_id
            reason = GapReason.CUT_TAIL if is_cut else GapReason.LOST_TAIL
            self._owed.append(
                {
                    "kind": RecordKind.GAP,
                    "reason": reason,
                    "from": from_id,
                    "to": to_id,
                    "was": self._state.hash.hex(),
                }
            )
        if end.last is not None:
            self._state = self._with(hash=end.last.hash)
        self._end = os.fstat(self._fd).st_size if self._fd >= 0 else 0

    def _recall(self, end: LogEnd) -> bool:
        """Take the state up, brought to the newest record; False where there is none that fits."""
        try:
            self._file = WriterStateFile(self._folder / writer_state.STATE)
        except (OSError, ValueError):
            return False
        self._state, last = self._file.state, end.last
        if end.free_id - self._state.next_id > ID_JUMP_MAX:
            return False
        if (
            last is not None and self._state.next_id <= last.id
        ):  # written after the record, or left behind by a lost power
            key = next_key(self._state.key, last.id - self._state.next_id)
            if record_mac(key, last.hash) != last.mac:
                return False
            self._state = self._with(next_id=last.id + 1, key=next_key(key), hash=last.hash)
        elif (
            last is not None
            and self._state.next_id == last.id + 1
            and self._state.hash != last.hash
        ):
            return False
        self._skip_to(end.free_id)
        return True

    def _begin_chain(self, end: LogEnd) -> None:
        """Begin a chain with a new verification key.

        A key file that cannot be written does not stop the writer: what follows cannot be verified.
        """
        if self._file is not None:
            self._file.close()
        self._file = None
        path = writer_state.default_key_path(self._folder)
        self._state = WriterState(end.free_id, secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(OSError):  # of which RecordError is one
            keys = writer_state.read_keys(path)
            made = next(
                (each.key for each in keys if each.first_id == end.free_id), None
            )  # then the state was not made any more
            if made is None:
                writer_state.write_keys(
                    path, [*keys, VerificationKey(end.free_id, self._state.key)]
                )
            else:
                self._state = self._with(key=made)
            writer_state.write_state(self._folder, self._state)
            self._file = WriterStateFile(self._folder / writer_state.STATE)
        if end.free_id > 1:
            self._owed.append({"kind": RecordKind.GAP, "reason": GapReason.NEW_CHAIN})

    def _skip_to(self, next_id: int) -> None:
        steps = max(0, next_id - self._state.next_id)
        self._state = self._with(
            next_id=self._state.next_id + steps, key=next_key(self._state.key, steps)
        )

    def _with(self, **changes: Any) -> WriterState:
        return replace(self._state, **changes)

    # One record.

    def _put(self, fields: Fields, durable: bool) -> int:
        number = self._state.next_id
        wall, doubt = self.clock.read_with_doubt()
        durable = (
            durable or not self._state.durable
        )  # else a front that the power took looks like one that somebody took
        public, personal, hidden = split_fields(fields)
        if hidden and self._seal is not None:
            personal["sealed"] = self._seal(number, encode(hidden))
        else:
            personal |= hidden
        try:
            self._look_at_end()
            self._turn_page(wall)
            heading = {} if self._end else {"of": self._log_id, "prev": self._state.hash.hex()}
            self._day = self._day if self._end else wall // DAY_S
            marks = {
                name: count for name, count in (("lost", self.lost), ("torn", self._torn)) if count
            }
            told = {
                "id": number,
                "wall": round(wall, 3),
                "mono": round(time.monotonic(), 4),
                **({LATEST_BELIEVED: round(self.clock.latest, 3)} if doubt else {}),
                **public,
                **heading,
                **marks,
            }
            line, digest = build_line(told, personal, self._state.hash, self._state.key)
            self._write(b"\n" + line if self._half else line, durable)
        except OSError as error:
            self.lost += 1
            raise RecordError(f"{self._folder}: the record was not written: {error}") from error
        self._torn = self.lost = 0
        self._step(digest, number if durable else self._state.durable)
        return number

    def _step(self, digest: bytes, durable: int) -> None:
        """The key of what was written is forgotten."""
        after = self._state
        self._state = WriterState(
            after.next_id + 1, next_key(after.key), digest, durable, after.blanked_up_to
        )
        self._remember()

    def _remember(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(self._state)

    def _turn_page(self, wall: float) -> None:
        """A new segment where there is none, the present one is full, or it is another day. Raises OSError."""
        if (
            self._fd >= 0
            and self._end < self._segment_bytes
            and not (self._end and wall // DAY_S != self._day)
        ):
            return
        if self._fd >= 0:
            os.fsync(
                self._fd
            )  # before there is a newer one: only the newest may end in what was never acknowledged
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
            return  # better the full one than none
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._end, self._day = fd, os.fstat(fd).st_size, wall // DAY_S
        self._half = False

    def _look_at_end(self) -> None:
        """Whether the file ends in the middle of a line: of ours, or since somebody erased where we took a line back."""
        if self._fd < 0:
            return
        size = os.fstat(self._fd).st_size
        self._half = (
            (size != self._end or bool(self._torn))
            and bool(size)
            and os.pread(self._fd, 1, size - 1) != b"\n"
        )
        self._end, self._torn = size, max(self._torn, self._half)

    def _write(self, line: bytes, durable: bool) -> None:
        """All of it or nothing; raises OSError. What cannot be taken back is ended by the next line, and keeps its number."""
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
                self._skip_to(self._state.next_id + 1)
            raise
        self._end += len(line)

    def _tell(self, fields: Fields) -> None:
        """What retention did."""
        self._put(fields, durable=True)
        if fields["reason"] == RetentionReason.BLANKED:
            self._state = self._with(blanked_up_to=fields["upto"])
            self._remember()


def _belief_at(folder: Path) -> ClockTrust:
    """Return the belief that the record itself gives; empty if it cannot be read."""
    try:
        return trust_from_records(read_tail(folder))
    except RecordError:
        return ClockTrust()


def _mend(folder: Path) -> None:
    """Where it cannot be mended, or nobody knows what was on disk, the next record marks what is none."""
    with contextlib.suppress(OSError):
        if (known := writer_state.read_state(folder)) is not None:
            mend(folder, known.durable)


def open_to_append(path: Path, flags: int = 0) -> int:
    return open_regular(path, flags | os.O_RDWR | os.O_APPEND)


def _day_of(segment: Path) -> float:
    """On which it began; -1 where it does not say."""
    with os.fdopen(open_regular(segment), "rb") as file:
        first = parse_line(file.readline(LINE_MAX).rstrip(b"\n"))
    wall = first.public.get("wall") if first else None
    return float(wall // DAY_S) if isinstance(wall, (int, float)) else -1.0
