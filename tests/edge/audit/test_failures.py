"""Audit log after disk failures, power cuts and `kill -9`: it verifies, ids are unique."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.audit import writer as writing
from edge.audit.reader import read_log
from edge.audit.segments import list_segments
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import default_key_path, read_state
from edge.errors import RecordError
from tests.edge.audit.records import Record
from tests.processes import TIMEOUT_S


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "decisions", count=3, segment_bytes=1 << 20)


def fails(error: int) -> Callable[..., object]:
    def call(*_: object) -> object:
        raise OSError(error, os.strerror(error))

    return call


def half(write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
    return lambda fd, data: write(fd, data[: len(data) // 2])


@pytest.mark.parametrize("can_take_back", [True, False], ids=["taken back", "left there"])
@pytest.mark.parametrize(
    "how", ["nothing is written", "half is written", "it does not reach the disk"]
)
def test_log_after_disk_failure_verifies(
    record: Record, monkeypatch: pytest.MonkeyPatch, how: str, can_take_back: bool
) -> None:
    log = record.open()
    with monkeypatch.context() as patch:
        if how == "nothing is written":
            patch.setattr(os, "write", fails(errno.ENOSPC))
        elif how == "half is written":
            patch.setattr(os, "write", half(os.write))
        else:
            patch.setattr(os, "fsync", fails(errno.EIO))
        if not can_take_back:
            patch.setattr(os, "ftruncate", fails(errno.EROFS))
        for _ in range(3):
            with pytest.raises(RecordError, match="was not written"):
                log.append({"kind": "decision", "subject": "Ada"})
    for _ in range(2):
        log.append({"kind": "decision", "subject": "Ada"})
    log.close()
    record.write(2)
    report = record.verify()
    assert report.findings == [] and "3 records were not written" in report.notes[-1]
    ids = [r["id"] for r in read_log(record.folder)]
    assert ids == sorted(set(ids)) and read_log(record.folder)[-4]["lost"] == 3


@pytest.mark.parametrize("how", ["half", "complete"])
def test_stop_before_loss_recorded_verifies(
    record: Record, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log = record.open()
    with monkeypatch.context() as patch:
        if how == "half":
            patch.setattr(os, "write", half(os.write))
        patch.setattr(os, "fsync", fails(errno.EIO))
        patch.setattr(os, "ftruncate", fails(errno.EROFS))
        with pytest.raises(RecordError):
            log.append({"kind": "decision"})
    log.close()  # as if it were killed here: it says no more
    record.write(2)
    assert record.found() == []


def test_writer_without_new_segment_continues(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = record.open(segment_bytes=10)
    make = os.open

    def refuse(path: Path, flags: int, *more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EACCES, "Permission denied")
        return make(path, flags, *more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert log.append({"kind": "decision"}) == 4
    assert (
        len(record.paths) == 1 and log.append({"kind": "decision"}) == 5 and len(record.paths) == 2
    )
    log.close()
    assert record.found() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_writer_forbidden_folder_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RecordError, match="check folder and rights"):
        AuditLogWriter(tmp_path / "log")


def test_unwritable_key_file_does_not_stop_writer(tmp_path: Path) -> None:
    folder = tmp_path / "decisions"
    default_key_path(folder).mkdir()  # no file can be put there
    log = AuditLogWriter(folder)
    assert [log.append({"kind": "decision"}) for _ in range(3)] == [1, 2, 3]
    log.close()
    default_key_path(folder).rmdir()
    log = AuditLogWriter(folder)  # and it is made good at the next start
    log.append({"kind": "started"})
    log.close()
    assert [r.get("reason") for r in read_log(folder)][3] == "new-chain"


@pytest.mark.parametrize("content", [b"\0" * 4096, b'{"id":4,"wall":', b"nonsense\n" * 3])
def test_recovery_truncates_invalid_end(record: Record, content: bytes) -> None:
    path = record.paths[-1]
    with path.open("ab") as file:
        file.write(content)
    record.write(2)
    assert [r["id"] for r in read_log(record.folder)] == [1, 2, 3, 4, 5]
    assert record.found() == [] and len(record.lines()) == 5


def test_recovery_keeps_changed_durable_record(record: Record) -> None:
    path = record.paths[-1]
    damaged = path.read_bytes()[:-20] + b"?" * 19 + b"\n"
    path.write_bytes(damaged)
    assert [r["id"] for r in read_log(record.folder)] == [1, 2, 3]
    record.write(1)
    assert path.read_bytes().startswith(damaged)
    assert record.found() != []


def test_recovery_truncates_lost_personal_part(record: Record) -> None:
    """The last sector of an unacknowledged record was written, the previous one was not."""
    path, before = record.paths[-1], record.paths[-1].read_bytes()
    log = record.open(wall=lambda: 1.8e9 + 20)
    log.append({"kind": "decision", "subject": "Ada"}, durable=False)
    log.append({"kind": "decision", "subject": "Ben"}, durable=False)
    log.close()
    lost, after = path.read_bytes()[len(before) :].splitlines(keepends=True)
    public, tab, personal = lost.partition(b"\t")
    path.write_bytes(before + public + tab + bytes(len(personal) - 9) + personal[-9:] + after)
    seen = read_log(record.folder)
    assert [r["id"] for r in seen] == [
        1,
        2,
        3,
    ]  # readers leave out already what the next start takes back
    (record.folder / "state").rename(record.folder / "elsewhere")
    unknown = read_log(record.folder)[3:]  # it is unknown what was on disk
    assert [(r["id"], r.get("erased")) for r in unknown] == [(4, True), (5, None)]
    (record.folder / "elsewhere").rename(record.folder / "state")
    record.write(1)
    assert record.found() == [] and read_log(record.folder)[:3] == seen


def test_the_first_record_is_on_disk_in_any_case(tmp_path: Path) -> None:
    """Otherwise a record lost with the power would look like a removed start."""
    log = AuditLogWriter(tmp_path / "decisions")
    assert [log.append({"kind": "decision"}, durable=False) for _ in range(2)] == [1, 2]
    state = read_state(tmp_path / "decisions")
    assert state is not None and (state.durable, state.next_id) == (1, 3)
    log.close()


def test_segment_is_synced_before_the_next(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery truncates only the newest segment: no other holds unacknowledged records."""
    unsynced, turned, fsync, write, open_ = (
        set[int](),
        0,
        os.fsync,
        os.write,
        writing.open_to_append,
    )

    def opened(path: Path, flags: int = 0) -> int:
        nonlocal turned
        assert not flags or not unsynced
        turned += bool(flags)
        return open_(path, flags)

    log = record.open(wall=lambda: 1.8e9 + 20, segment_bytes=700)
    monkeypatch.setattr(writing, "open_to_append", opened)
    monkeypatch.setattr(os, "write", lambda fd, data: (unsynced.add(fd), write(fd, data))[1])
    monkeypatch.setattr(os, "fsync", lambda fd: (unsynced.discard(fd), fsync(fd))[1])
    for _ in range(6):
        log.append({"kind": "decision", "subject": "Ada"}, durable=False)
    log.close()
    assert turned >= 2 and record.found() == []


def test_writer_continues_unfinished_segment(record: Record) -> None:
    (record.folder / "000000004.log").write_bytes(b"\0" * 10)
    record.write(2)
    assert [path.stem for path in record.paths] == ["000000001", "000000004"]
    assert [r["id"] for r in read_log(record.folder)] == [1, 2, 3, 4, 5] and record.found() == []


WRITER = """
import sys
from pathlib import Path
from edge.audit import writer as writing
from edge.audit.writer import AuditLogWriter
log = AuditLogWriter(Path(sys.argv[1]), log_id="lobby-1/decisions", segment_bytes=4000)
while True:
    print(log.append({"kind": "decision", "subject": "Ada"}, durable=False), flush=True)
"""


def test_log_of_killed_writer_verifies(tmp_path: Path) -> None:
    """Killed at random moments: all acknowledged records exist."""
    record, random_ = Record(tmp_path / "decisions", count=0), random.Random(1)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(record.folder)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            said = [writer.stdout.readline() for _ in range(random_.randint(1, 40))]
            writer.kill()
            said += writer.stdout.readlines()
        acknowledged = int([line for line in said if line.endswith(b"\n")][-1])
        report = record.verify()
        assert report.findings == [] and report.last is not None and report.last.id >= acknowledged
        assert report.records == report.last.id == report.authentic
    assert len(list_segments(record.folder)) > 2


@pytest.mark.parametrize("slot", [0, 512])
def test_state_with_one_damaged_slot_is_read(record: Record, slot: int) -> None:
    path = record.folder / "state"
    data = bytearray(path.read_bytes())
    data[slot + 40] ^= 1
    path.write_bytes(data)
    record.write(2)
    report = record.verify()
    assert report.findings == [] and report.authentic == 5


def test_no_key_but_the_present_one_is_kept(record: Record) -> None:
    from edge.audit.chain import next_key
    from edge.audit.writer_state import read_keys

    keys = [read_keys(default_key_path(record.folder))[0].key]
    keys += [next_key(keys[0], steps) for steps in range(1, 4)]
    data = (record.folder / "state").read_bytes()
    assert [key in data for key in keys] == [False, False, False, True]


STOPPED = """
import os, shutil, sys
from pathlib import Path
from edge.audit import writer as writing
from edge.audit.writer import AuditLogWriter
from edge.audit.retention import Retention
from tests.edge.audit.records import BEGAN, OF

before, folder = Path(sys.argv[1]), Path(sys.argv[2])
CALLS = "open write pwrite fsync ftruncate replace unlink mkdir close".split()

def life(path, steps):
    left, acknowledged = [steps], os.open(path.parent / "acknowledged", os.O_CREAT | os.O_WRONLY)
    write = os.write
    def stopping(call):
        def stopped(*arguments, **more):
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
            return call(*arguments, **more)
        return stopped
    for name in CALLS:
        setattr(os, name, stopping(getattr(os, name)))
    log = AuditLogWriter(
        path, log_id=OF, segment_bytes=700, retention=Retention(30, 10),
        wall=lambda: BEGAN + 40 * 86400.0,
    )
    for _ in range(4):
        write(acknowledged, b"%d\\n" % log.append({"kind": "decision", "subject": "Ada"}))
    for _ in range(300):
        log.run_maintenance()
    log.close()

for steps in range(10_000):
    place = folder / str(steps)
    place.mkdir(parents=True)
    if before.exists():
        shutil.copytree(before, place / "decisions")
        shutil.copy(before.with_name("decisions.key"), place)
    pid = os.fork()
    if pid == 0:
        life(place / "decisions", steps)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
        break
"""


@pytest.mark.parametrize("old_days", [0, 25])
def test_stop_between_any_two_steps_verifies(tmp_path: Path, old_days: int) -> None:
    """Stopped before each system call of opening, writing, rotation, removal and blanking."""
    before = Record(tmp_path / "before" / "decisions", count=0)
    if old_days:
        for day in range(15, 15 + old_days, 2):
            before.write(1, day - 10)
    else:
        shutil.rmtree(tmp_path / "before")
    subprocess.run(
        [sys.executable, "-c", STOPPED, str(before.folder), str(tmp_path / "lives")],
        check=True,
        timeout=TIMEOUT_S,
    )
    lives = sorted((tmp_path / "lives").iterdir(), key=lambda place: int(place.name))
    assert len(lives) > 30
    for place in lives:
        record = Record(place / "decisions", count=1, segment_bytes=700)
        assert record.found() == [], place.name
        said = (
            (place / "acknowledged").read_text().split()
            if (place / "acknowledged").exists()
            else []
        )
        assert {int(number) for number in said} <= {r["id"] for r in read_log(record.folder)}, (
            place.name
        )
