from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.audit.reader import read_log, read_tail
from edge.audit.segments import list_segments
from edge.audit.writer import AuditLogWriter
from edge.errors import RecordError


def segment(folder: Path) -> Path:
    """Return the newest segment."""
    return list_segments(folder)[-1]


def test_records_count_up_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "state" / "log"
    for expected in ((1, 2), (3, 4)):
        log = AuditLogWriter(path)
        assert (log.append({"a": "ä"}), log.append({"a": 2}, durable=False)) == expected
        log.close()
    assert [r["id"] for r in read_log(path)] == [1, 2, 3, 4]
    assert path.stat().st_mode & 0o007 == 0


def test_torn_line_loses_one_record(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AuditLogWriter(path)
    log.append({"a": 1})
    log.close()
    with segment(path).open("ab") as file:
        file.write(b'{"id":2,"a"')
    log = AuditLogWriter(path)
    assert log.append({"a": 3}) == 2
    log.close()
    assert [r["a"] for r in read_log(path)] == [1, 3]


def test_full_disk_leaves_no_partial_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    log = AuditLogWriter(path)
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
    log = AuditLogWriter(tmp_path / "log")
    with pytest.raises(ValueError, match="JSON"):
        log.append({"score": float("nan")})
    log.close()


def test_line_not_truncated_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    log, write = AuditLogWriter(path), os.write
    log.append({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        patch.setattr(
            os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only"))
        )
        for _ in range(2):
            with pytest.raises(RecordError, match="was not written"):
                log.append({"a": 2})
    acknowledged = log.append({"a": 3})
    log.close()
    found = read_log(path)
    assert (
        [r["a"] for r in found] == [1, 3]
        and found[-1]["id"] == acknowledged
        and found[-1]["lost"] == 2
    )


def test_record_ids_are_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was not acknowledged may be in the file nevertheless."""
    path = tmp_path / "log"
    log = AuditLogWriter(path)
    log.append({"a": 0})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        patch.setattr(
            os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error"))
        )
        with pytest.raises(RecordError):
            log.append({"a": 1})
    log.append({"a": 2})
    log.close()
    assert [r["id"] for r in read_log(path)] == [1, 2, 3]


def test_record_time_is_of_given_clock(tmp_path: Path) -> None:
    log = AuditLogWriter(tmp_path / "log", wall=lambda: 1.5)
    log.append({})
    log.close()
    assert read_log(tmp_path / "log")[0]["wall"] == 1.5


def test_read_tail_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    assert read_tail(folder) == [] and not folder.exists()
    folder.mkdir()
    path = folder / "000000001.log"
    path.write_bytes(b'{"a": 1}\t\n{"a": 2}\t\n{"a"')
    assert [r["a"] for r in read_tail(folder)] == [2, 1]
    assert path.read_bytes().endswith(b'{"a"')
    path.write_bytes(b"\0" * 100)
    with pytest.raises(RecordError, match="no line at its end is a record"):
        read_tail(folder)


def test_append_durable_syncs_file_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, synced = tmp_path / "log", list[Path]()
    log, sync = AuditLogWriter(folder), os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        sync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    log.append({"a": 1})
    assert synced == [
        folder,
        folder / "000000001.log",
    ]  # a file that no folder names is lost with the power
    log.append({"a": 2}, durable=False)
    assert len(synced) == 2
    log.append({"a": 3})
    assert synced[2:] == [folder / "000000001.log"]
    log.close()


def test_segment_rotates_by_size_and_day(tmp_path: Path) -> None:
    now = [1.8e9]
    log = AuditLogWriter(tmp_path / "log", wall=lambda: now[0], segment_bytes=1000)
    for _ in range(6):
        log.append({"a": 1})
    full = len(list_segments(tmp_path / "log"))
    assert full > 1 and all(path.stat().st_size < 1600 for path in list_segments(tmp_path / "log"))
    for days in (1, 1, -2):
        now[0] += days * 86400
        log.append({"a": 2})
    log.close()
    assert len(list_segments(tmp_path / "log")) == full + 3
    assert [r["id"] for r in read_log(tmp_path / "log")] == list(range(1, 10))
