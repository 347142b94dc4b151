from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.audit.log import BoundedLog, JsonLog, read_log, read_tail
from edge.errors import RecordError
from tests.doors import HangingDisk


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


def test_a_hanging_disk_does_not_hold_the_caller(tmp_path: Path) -> None:
    hanging = HangingDisk(tmp_path / "log.jsonl")
    bounded = BoundedLog(lambda: hanging)
    jobs = [bounded.submit({"a": i}) for i in range(100)]
    assert not jobs[0].done.is_set()
    assert jobs[-1].done.is_set() and not jobs[-1].written and "does not keep up" in str(jobs[-1].error)
    hanging.released.set()
    bounded.close()
    assert jobs[0].written
    assert [r["a"] for r in read_log(tmp_path / "log.jsonl")] == list(range(sum(job.written for job in jobs)))


def test_one_record_that_fails_does_not_stop_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = BoundedLog(lambda: JsonLog(tmp_path / "log.jsonl"))

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


def test_a_line_that_cannot_be_taken_back_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    log, write = JsonLog(path), os.write
    log.append({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
        for _ in range(2):
            with pytest.raises(RecordError, match="was not written"):
                log.append({"a": 2})
    acknowledged = log.append({"a": 3})
    log.close()
    found = read_log(path)
    assert [r["a"] for r in found] == [1, 3] and found[-1]["id"] == acknowledged and found[-1]["lost"] == 2


def test_a_number_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was not acknowledged may stand in the file all the same."""
    path = tmp_path / "log.jsonl"
    log = JsonLog(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(RecordError):
            log.append({"a": 1})
    log.append({"a": 2})
    log.close()
    assert [r["id"] for r in read_log(path)] == [1, 2]


def test_what_the_queue_did_not_take_is_told_once_it_can_be(tmp_path: Path) -> None:
    """The record that was to tell of it fails too."""

    class FailsOnce(HangingDisk):
        failed = False

        def append(self, fields: dict[str, object], *, durable: bool = True) -> int:
            assert self.released.wait(10)
            if "not_taken" in fields and not self.failed:
                self.failed = True
                self.lost += 1
                raise RecordError("disk full")
            return super().append(fields, durable=durable)

    log = FailsOnce(tmp_path / "log.jsonl")
    bounded = BoundedLog(lambda: log)
    jobs = [bounded.submit({"a": i}) for i in range(100)]
    not_taken = sum(job.done.is_set() for job in jobs)
    assert not_taken > 30 and bounded.lost == not_taken
    log.released.set()
    for job in jobs:
        assert job.done.wait(10)
    last = bounded.submit({"a": 100})
    assert last.done.wait(10) and bounded.lost == 0
    bounded.close()
    told = read_log(tmp_path / "log.jsonl")
    assert sum(r.get("not_taken", 0) for r in told) == not_taken and sum(r.get("lost", 0) for r in told) == 1


def test_a_log_that_cannot_be_opened_is_tried_again_with_each_record(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("no folder")
    bounded = BoundedLog(lambda: JsonLog(folder / "log.jsonl"))
    for number in range(3):
        job = bounded.submit({"a": number}, counted=number > 0)
        assert job.done.wait(10) and "cannot open the record" in str(job.error)
    assert bounded.lost == 2
    folder.unlink()
    job = bounded.submit({"a": 3})
    assert job.done.wait(10) and job.written and bounded.lost == 0
    bounded.close()
    assert [(r["a"], r["lost"]) for r in read_log(folder / "log.jsonl")] == [(3, 2)]


def test_times_are_those_of_the_clock_that_is_given(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "log.jsonl", wall=lambda: 1.5)
    log.append({})
    log.close()
    assert read_log(tmp_path / "log.jsonl")[0]["wall"] == 1.5


def test_the_end_of_a_file_is_read_without_changing_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_tail(path) == []
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a"')
    assert [r["a"] for r in read_tail(path)] == [2, 1]
    assert path.read_bytes().endswith(b'{"a"')
    path.write_bytes(b"\0" * 100)
    with pytest.raises(RecordError, match="no line in its end is a record"):
        read_tail(path)
