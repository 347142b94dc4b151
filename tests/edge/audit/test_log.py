from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from edge.audit.log import BoundedLog, JsonLog, read_log
from edge.errors import RecordError


def test_records_count_up_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "state" / "log.jsonl"
    for expected in ((1, 2), (3, 4)):
        log = JsonLog(path)
        assert (log.append({"a": "ä"}), log.append({"a": 2}, durable=False)) == expected
        log.close()
    assert [r["id"] for r in read_log(path)] == [1, 2, 3, 4]
    assert path.stat().st_mode & 0o007 == 0


def test_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = JsonLog(path)
    log.append({"a": 1})
    log.close()
    with path.open("ab") as file:
        file.write(b'{"id": 2, "a"')
    log = JsonLog(path)
    assert log.append({"a": 3}) == 2
    log.close()
    assert [r["a"] for r in read_log(path)] == [1, 3]


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    log = JsonLog(path)
    log.append({"a": 1})
    write = os.write

    def half(fd: int, data: bytes) -> int:
        return write(fd, data[:7])

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for broken in (half, full):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", broken)
            with pytest.raises(RecordError, match="was not written"):
                log.append({"a": 2})
    assert log.append({"a": 3}) == 2
    log.close()
    assert [r["a"] for r in read_log(path)] == [1, 3]


def test_values_that_are_no_json_are_refused(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "log.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        log.append({"score": float("nan")})
    log.close()


class Hanging(JsonLog):
    """A log on a disk that hangs until it is released."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.released = threading.Event()

    def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
        assert self.released.wait(10)
        return super().append(fields, durable=durable)


def test_a_hanging_disk_does_not_hold_the_caller(tmp_path: Path) -> None:
    hanging = Hanging(tmp_path / "log.jsonl")
    bounded = BoundedLog(hanging)
    jobs = [bounded.submit({"a": i}) for i in range(100)]
    assert not jobs[0].done.is_set()
    assert jobs[-1].done.is_set() and not jobs[-1].written and "does not keep up" in str(jobs[-1].error)
    hanging.released.set()
    bounded.close()
    assert jobs[0].written
    assert [r["a"] for r in read_log(tmp_path / "log.jsonl")] == list(range(sum(job.written for job in jobs)))


def test_one_record_that_fails_does_not_stop_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = BoundedLog(JsonLog(tmp_path / "log.jsonl"))

    def written(fields: dict[str, object]) -> bool:
        job = bounded.submit(fields)
        assert job.done.wait(10)
        return job.written

    assert written({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
        assert not written({"a": 2})
    assert not written({"a": float("nan")})
    assert written({"a": "\ud800 \u2028"})
    bounded.close()
    assert [r["a"] for r in read_log(tmp_path / "log.jsonl")][-1] == "\ud800 \u2028"
