"""Append-only records as JSON lines: one record is one write, on disk before `append` returns."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edge.errors import RecordError

_TAIL_BYTES = 1 << 16


class JsonLog:
    """A file of JSON lines with an id that counts up over restarts. One process writes, any may read."""

    def __init__(self, path: Path, *, wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall = wall
        self._torn = False  # the file may end in the middle of a line
        self.lost = 0  # records since the last that was written
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o640)
            try:
                self._last_id = self._mend()
            except OSError:
                os.close(self._fd)
                raise
        except OSError as error:
            raise RecordError(f"{path}: cannot open the record: {error.strerror}; check folder and rights") from error

    def append(self, fields: dict[str, Any], *, durable: bool = True) -> int:
        """Write one record with id and times; its id. With `durable` it is on disk on return.

        Raises RecordError, and then the file ends where it ended before; the next record says how many were `lost`.
        """
        record = {"id": self._last_id + 1, "wall": round(self._wall(), 3), "mono": round(time.monotonic(), 4), **fields}
        if self.lost:
            record["lost"] = self.lost
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"  # ASCII: one line is one record
        try:
            self._write(b"\n" + line if self._torn else line, durable)
        except OSError as error:
            self.lost += 1
            raise RecordError(f"{self._path}: the record was not written: {error}") from error
        self._torn = False
        self._last_id += 1
        self.lost = 0
        return self._last_id

    def last(self, key: str) -> Any:
        """The newest value of a field in the end of the file; None where no record there has it."""
        return next((record[key] for record in _newest_first(self._fd) if key in record), None)

    def close(self) -> None:
        os.close(self._fd)

    def _write(self, line: bytes, durable: bool) -> None:
        """All of it or nothing; raises OSError. What cannot be taken back is ended by the next line, and keeps its number."""
        before = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError("the disk took only part of the record")
            if durable:
                os.fsync(self._fd)
        except OSError:
            try:
                os.ftruncate(self._fd, before)
            except OSError:  # a file system that turned read-only
                self._torn = True
                self._last_id += 1
            raise

    def _mend(self) -> int:
        """End a line torn by a crash, so that the next record is readable; the last id that stands."""
        size = os.fstat(self._fd).st_size
        self._torn = bool(size) and os.pread(self._fd, 1, size - 1) != b"\n"
        return next((record["id"] for record in _newest_first(self._fd) if isinstance(record.get("id"), int)), 0)


def read_log(path: Path) -> list[dict[str, Any]]:
    """All readable records of a file, in order; torn lines are left out."""
    try:
        return _records(path.read_text(encoding="utf-8", errors="replace").splitlines())
    except FileNotFoundError:
        return []


def read_tail(path: Path) -> list[dict[str, Any]]:
    """The readable records in the end of a file, newest first; none where there is no file. Raises RecordError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"{path}: the record cannot be read: {error.strerror}") from error
    try:
        found = _newest_first(fd)
        if not found and os.fstat(fd).st_size:
            raise RecordError(f"{path}: the record cannot be read: no line in its end is a record")
        return found
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(f"{path}: the record cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)


def _newest_first(fd: int) -> list[dict[str, Any]]:
    """The readable records in the last 64 KiB; raises OSError."""
    size = os.fstat(fd).st_size
    return _records(os.pread(fd, min(size, _TAIL_BYTES), max(0, size - _TAIL_BYTES)).splitlines())[::-1]


def _records(lines: Iterable[str | bytes]) -> list[dict[str, Any]]:
    """Lines that are JSON objects."""
    records = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


class Job:
    """One record on its way to the disk. One that is not `counted` is not missed where it cannot be written."""

    def __init__(self, fields: dict[str, Any], *, counted: bool = True) -> None:
        self.fields = fields
        self.counted = counted
        self.done = threading.Event()
        self.error: RecordError | None = None

    @property
    def written(self) -> bool:
        return self.done.is_set() and self.error is None


class BoundedLog:
    """A log whose caller never has to wait: a hanging disk must not hold a lock open. One thread opens it and writes, in order;
    where it cannot be opened, each record tries again."""

    def __init__(self, open_log: Callable[[], JsonLog]) -> None:
        self._open_log = open_log
        self._log: JsonLog | None = None
        self._unopened = 0  # records lost before it could be opened
        # Counted up and never back, each by one thread alone: what one forgets the other cannot lose.
        self._not_taken = 0  # for want of room in the queue; the caller's
        self._told = 0  # of those, on record; the writer's
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()

    def submit(self, fields: dict[str, Any], *, counted: bool = True) -> Job:
        """Hand over a record; `done` is set once it is on disk or has failed. A full queue is a failure."""
        job = Job(fields, counted=counted)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._not_taken += counted
            job.error = RecordError("the disk does not keep up: 64 records wait to be written")
            job.done.set()
        return job

    @property
    def lost(self) -> int:
        """Records lost since the last that was written."""
        log = self._log
        return (log.lost if log else self._unopened) + self._not_taken - self._told

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, for at most `timeout_s`."""
        try:
            self._jobs.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)
        if not self._thread.is_alive() and self._log is not None:
            self._log.close()

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._append(job)
            except RecordError as error:
                job.error = error
            except Exception as error:  # whatever one record does, the next one is written
                job.error = RecordError(f"the record was not written: {error!r}")
            job.done.set()

    def _append(self, job: Job) -> None:
        if self._log is None:
            self._open(job)
        assert self._log is not None
        before, not_taken = self._log.lost, self._not_taken
        more = {"not_taken": not_taken - self._told} if not_taken > self._told else {}
        try:
            self._log.append({**job.fields, **more})
        except Exception:
            self._log.lost = before + job.counted
            raise
        self._told = not_taken

    def _open(self, job: Job) -> None:
        try:
            self._log = self._open_log()
        except Exception:
            self._unopened += job.counted
            raise
        self._log.lost = self._unopened
