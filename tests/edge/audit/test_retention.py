"""What is erased, when, and that the chain does not mind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.audit.reader import read_log
from edge.audit.retention import Retention, erase_personal_parts
from edge.audit.writer import AuditLogWriter
from tests.edge.audit.records import BEGAN, OF, Record

DAY_S = 86400.0


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Forty days, two records a day."""
    made = Record(tmp_path / "decisions", count=0, segment_bytes=1 << 20)
    for day in range(40):
        made.write(2, day)
    assert len(made.paths) == 40 and made.found() == []
    return made


def tend(record: Record, day: float, keep: Retention, *, steps: int = 10_000) -> AuditLogWriter:
    """What a writer does that starts on a day and has nothing else to do."""
    log = record.open(wall=lambda: BEGAN + day * DAY_S, retention=keep)
    for _ in range(steps):
        log.run_maintenance()
    return log


def told(record: Record) -> list[tuple[str, int | None]]:
    return [
        (r["reason"], r.get("upto"))
        for r in read_log(record.folder)
        if r.get("kind") == "retention"
    ]


def test_old_records_go_and_personal_parts_before_them(record: Record) -> None:
    log = tend(record, 40, Retention(delete_after_days=30, redact_after_days=10))
    log.close()
    assert told(record) == [("removed", 20), ("blanked", 60)]
    report = record.verify()
    assert report.findings == [] and (report.first_id, report.erased) == (21, 40)
    assert report.notes[0] == "records up to 20 were removed by retention"
    assert report.notes[1] == "40 personal parts are erased, 40 by retention, 0 otherwise"
    decisions = [r for r in read_log(record.folder) if r["kind"] == "decision"]
    assert all(("subject" in r) == (r["id"] > 60) for r in decisions)
    assert b"Ada" not in b"".join(path.read_bytes() for path in record.paths[:20])


def test_it_is_not_done_twice(record: Record) -> None:
    for _ in range(3):
        tend(record, 40, Retention(30, 10)).close()
    assert told(record) == [("removed", 20), ("blanked", 60)]
    tend(record, 41, Retention(30, 10)).close()
    assert told(record)[2:] == [("removed", 22), ("blanked", 62)]
    assert record.found() == []


@pytest.mark.parametrize("steps", range(0, 90, 7))
def test_a_stop_in_between_is_made_good(record: Record, steps: int) -> None:
    tend(record, 40, Retention(30, 10), steps=steps).close()
    assert record.found() == []
    tend(record, 40, Retention(30, 10)).close()
    report = record.verify()
    assert (
        report.findings == []
        and report.first_id == 21
        and report.erased == 40
        and ", 0 otherwise" in report.notes[-1]
    )


def test_a_step_is_small(record: Record) -> None:
    """One segment at most: whoever waits at the door waits no longer for a record."""
    log = record.open(wall=lambda: BEGAN + 40 * DAY_S, retention=Retention(30, 10))
    for _ in range(200):
        before = len(record.paths)
        log.run_maintenance()
        assert before - len(record.paths) <= 1
    log.close()


def test_a_large_segment_is_erased_in_steps(tmp_path: Path) -> None:
    record = Record(tmp_path / "decisions", count=2000, segment_bytes=1 << 20)
    steps = [len(done) for done in erase_personal_parts(record.paths[0], lambda _: True)]
    assert sum(steps) == 2000 and len(steps) > 2 and max(steps) < 1000
    assert record.found() == []


@pytest.mark.parametrize("day", [-400, -1, 40 + 60, 40 + 3650])
def test_a_clock_that_cannot_be_right_removes_nothing(record: Record, day: float) -> None:
    before = {path: path.read_bytes() for path in record.paths[:-1]}
    tend(record, day, Retention(30, 10)).close()
    assert {path: path.read_bytes() for path in before} == before
    assert record.found() == []


def test_clock_far_ahead_waits_for_operator(record: Record) -> None:
    """A terminal that was off for two months erases old records once an operator confirms."""
    for day in range(100, 110):
        tend(record, day, Retention(30, 20)).close()
        record.write(1, day)
    assert {reason for reason, _ in told(record)} == {"clock-untrusted"} and len(record.paths) > 40
    log = record.open(wall=lambda: BEGAN + 110 * DAY_S, retention=Retention(30, 20))
    assert log.clock.confirm() is None
    for _ in range(10_000):
        log.run_maintenance()
    log.close()
    assert ("removed", 80) in told(record) and record.found() == []


def test_a_clock_that_was_ahead_for_a_while_keeps_nothing_for_longer(record: Record) -> None:
    """What was written meanwhile is as old as what follows it says."""
    record.write(2, 4000)
    for day in range(40, 52):
        record.write(2, day)
    tend(record, 52, Retention(11, 5)).close()
    assert told(record)[-2][0] == "removed" and record.found() == []
    assert not [r for r in read_log(record.folder) if r["wall"] > BEGAN + 1000 * DAY_S]


def test_a_clock_that_was_never_set_makes_no_record_old(record: Record) -> None:
    """Written at 1970, before the time was known: as old as what surrounds it."""
    for day in range(-20000, -19998):
        record.write(2, day)
    record.write(2, 40)
    tend(record, 41, Retention(30, 10)).close()
    assert [r["wall"] > 1.7e9 for r in read_log(record.folder)].count(False) == 4


def test_one_person_is_erased_beside_a_writer_at_work(record: Record) -> None:
    log = record.open(wall=lambda: BEGAN + 39.5 * DAY_S)
    done = 0
    for path in record.paths:
        for lines in erase_personal_parts(path, lambda line: b'"Ada"' in line.personal):
            done += len(lines)
            log.append({"kind": "decision", "subject": "Ben"}, durable=False)
    log.close()
    assert done == 40 and not [r for r in read_log(record.folder) if r.get("subject") == "Ada"]
    report = record.verify()
    assert report.findings == [] and "0 by retention, 40 otherwise" in report.notes[-1]


@pytest.mark.parametrize("keep", [0, 1, 20])
def test_an_erasure_that_was_cut_short_is_found_and_finished(record: Record, keep: int) -> None:
    path = record.paths[5]
    data = path.read_bytes()
    begin, end = data.index(b"\t") + 1, data.index(b"\n")
    path.write_bytes(data[:begin] + b" " * (end - begin - keep - 1) + data[end - keep - 1 :])
    assert record.found() == [("personal-modified", 11)]
    assert (
        sum(
            len(done)
            for done in erase_personal_parts(path, lambda line: not line.personal.startswith(b"{"))
        )
        == 1
    )
    assert record.found() == []


def test_an_erasure_where_a_line_was_taken_back_spoils_no_record(record: Record) -> None:
    """It writes beyond the end, and so leaves a hole there: the next record is ended before it begins."""
    log = record.open()
    with open(record.paths[-1], "r+b") as file:  # noqa: PTH123
        os.pwrite(file.fileno(), b" " * 30, record.paths[-1].stat().st_size + 50)
    log.append({"kind": "decision", "subject": "Ben"})
    log.close()
    assert read_log(record.folder)[-1]["subject"] == "Ben" and record.found() == []


def test_dry_runs_erase_nothing(record: Record) -> None:
    before = record.lines()
    assert (
        sum(
            len(done)
            for path in record.paths
            for done in erase_personal_parts(path, lambda _: True, dry_run=True)
        )
        == 80
    )
    assert record.lines() == before


def test_retention_may_change_while_the_log_is_open(record: Record) -> None:
    log = AuditLogWriter(record.folder, log_id=OF, wall=lambda: BEGAN + 40 * DAY_S)
    for _ in range(300):
        log.run_maintenance()
    assert told(record) == []
    log.retention = Retention(30, 10)
    for _ in range(300):
        log.run_maintenance()
    log.close()
    assert told(record) == [("removed", 20), ("blanked", 60)]
