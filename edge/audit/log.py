"""Append-only records as JSON lines: one record is one write, on disk before `append` returns."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.errors import RecordError


class JsonLog:
    """A file of JSON lines with an id that counts up over restarts. One process writes, any may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lost = 0  # records since the last that was written
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o640)
            self._last_id = self._mend()
        except OSError as error:
            raise RecordError(f"{path}: cannot open the record: {error.strerror}; check folder and rights") from error

    def append(self, fields: dict[str, Any], *, durable: bool = True) -> int:
        """Write one record with id and times; its id. With `durable` it is on disk on return.

        Raises RecordError, and then the file ends where it ended before; the next record says how many were `lost`.
        """
        record = {"id": self._last_id + 1, "wall": round(time.time(), 3), "mono": round(time.monotonic(), 4), **fields}
        if self.lost:
            record["lost"] = self.lost
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"  # ASCII: one line is one record
        before: int | None = None
        try:
            before = os.fstat(self._fd).st_size
            if os.write(self._fd, line) != len(line):
                raise OSError("the disk took only part of the record")
            if durable:
                os.fsync(self._fd)
        except OSError as error:
            if before is not None:
                with contextlib.suppress(OSError):  # a file system that turned read-only; `_mend` sees to it at the next start
                    os.ftruncate(self._fd, before)
            self.lost += 1
            raise RecordError(f"{self._path}: the record was not written: {error}") from error
        self._last_id += 1
        self.lost = 0
        return self._last_id

    def last(self, key: str) -> Any:
        """The newest value of a field in the end of the file; None where no record there has it."""
        for record in self._tail():
            if key in record:
                return record[key]
        return None

    def close(self) -> None:
        os.close(self._fd)

    def _mend(self) -> int:
        """End a line torn by a crash, so that the next record is readable; the last id that stands."""
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")
        return next((record["id"] for record in self._tail() if isinstance(record.get("id"), int)), 0)

    def _tail(self) -> Iterator[dict[str, Any]]:
        """The readable records in the last 64 KiB, newest first."""
        size = os.fstat(self._fd).st_size
        for line in reversed(os.pread(self._fd, min(size, 1 << 16), max(0, size - (1 << 16))).splitlines()):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def read_log(path: Path) -> list[dict[str, Any]]:
    """All readable records of a file, in order; torn lines are left out."""
    records = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


class Job:
    """One record on its way to the disk."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.done = threading.Event()
        self.error: RecordError | None = None

    @property
    def written(self) -> bool:
        return self.done.is_set() and self.error is None


class BoundedLog:
    """A log whose caller never has to wait: a hanging disk must not hold a lock open. One thread writes, in order."""

    def __init__(self, log: JsonLog) -> None:
        self._log = log
        self._not_taken = 0  # for want of room in the queue, since the last that was
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=64)
        self._thread = threading.Thread(target=self._write, name="record", daemon=True)
        self._thread.start()

    def submit(self, fields: dict[str, Any]) -> Job:
        """Hand over a record; `done` is set once it is on disk or has failed. A full queue is a failure."""
        job = Job({**fields, "not_taken": self._not_taken} if self._not_taken else fields)
        try:
            self._jobs.put_nowait(job)
            self._not_taken = 0
        except queue.Full:
            self._not_taken += 1
            job.error = RecordError("the disk does not keep up: 64 records wait to be written")
            job.done.set()
        return job

    @property
    def lost(self) -> int:
        """Records lost since the last that was written."""
        return self._log.lost + self._not_taken

    def last(self, key: str) -> Any:
        """As `JsonLog.last`; for the start, before anything was submitted."""
        return self._log.last(key)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what waits, for at most `timeout_s`."""
        try:
            self._jobs.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._log.close()

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._log.append(job.fields)
            except RecordError as error:
                job.error = error
            except Exception as error:  # whatever one record does, the next one is written
                job.error = RecordError(f"the record was not written: {error!r}")
            job.done.set()
