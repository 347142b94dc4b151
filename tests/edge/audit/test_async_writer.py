from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.reader import read_log
from edge.audit.writer import AuditLogWriter
from edge.errors import RecordError
from tests.doors import TIMEOUT_S, HangingDisk


def test_async_writer_hanging_disk_no_wait(tmp_path: Path) -> None:
    hanging = HangingDisk(tmp_path / "log")
    bounded = AsyncLogWriter(lambda: hanging)
    jobs = [bounded.submit({"a": i}) for i in range(100)]
    assert not jobs[0].done.is_set()
    assert (
        jobs[-1].done.is_set()
        and not jobs[-1].written
        and "does not keep up" in str(jobs[-1].error)
    )
    hanging.released.set()
    bounded.close()
    assert jobs[0].written
    written = [number for number, job in enumerate(jobs) if job.written]
    assert [r["a"] for r in read_log(tmp_path / "log")] == written


def test_async_writer_continues_after_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = AsyncLogWriter(lambda: AuditLogWriter(tmp_path / "log"))

    def written(fields: dict[str, object]) -> bool:
        job = bounded.submit(fields)
        assert job.done.wait(TIMEOUT_S)
        return job.written

    assert written({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        patch.setattr(
            os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only"))
        )
        assert not written({"a": 2})
    assert not written({"a": float("nan")})
    assert written({"a": "\ud800 \u2028"})
    bounded.close()
    assert [r["a"] for r in read_log(tmp_path / "log")][-1] == "\ud800 \u2028"


def test_async_writer_records_refused_count(tmp_path: Path) -> None:
    """The record with the count fails once as well."""

    class FailsOnce(HangingDisk):
        failed = False

        def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
            assert self.released.wait(TIMEOUT_S)
            if "not_taken" in fields and not self.failed:
                self.failed = True
                self.lost += 1
                raise RecordError("disk full")
            return super().append(fields, durable=durable)

    log = FailsOnce(tmp_path / "log")
    bounded = AsyncLogWriter(lambda: log)
    jobs = [bounded.submit({"a": i}) for i in range(100)]
    not_taken = sum(job.done.is_set() for job in jobs)
    assert not_taken > 30 and bounded.lost == not_taken
    log.released.set()
    for job in jobs:
        assert job.done.wait(TIMEOUT_S)
    last = bounded.submit({"a": 100})
    assert last.done.wait(TIMEOUT_S) and bounded.lost == 0
    bounded.close()
    fields = read_log(tmp_path / "log")
    assert (
        sum(r.get("not_taken", 0) for r in fields) == not_taken
        and sum(r.get("lost", 0) for r in fields) == 1
    )


def test_async_writer_retries_opening(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("no folder")
    bounded = AsyncLogWriter(lambda: AuditLogWriter(folder / "log"))
    for number in range(3):
        job = bounded.submit({"a": number}, counted=number > 0)
        assert job.done.wait(TIMEOUT_S) and "cannot open the audit log" in str(job.error)
    assert bounded.lost == 2
    folder.unlink()
    job = bounded.submit({"a": 3})
    assert job.done.wait(TIMEOUT_S) and job.written and bounded.lost == 0
    bounded.close()
    assert [(r["a"], r["lost"]) for r in read_log(folder / "log")] == [(3, 2)]
