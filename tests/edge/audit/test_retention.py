"""Retention and erasure, after which the chain still verifies."""

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
    """Run the maintenance of a writer that starts on a day."""
    log = record.open(wall=lambda: BEGAN + day * DAY_S, retention=keep)
    for _ in range(steps):
        log.run_maintenance()
    return log


def recorded(record: Record) -> list[tuple[str, int | None]]:
    return [
        (r["reason"], r.get("upto"))
        for r in read_log(record.folder)
        if r.get("kind") == "retention"
    ]


def test_retention_redacts_then_deletes(record: Record) -> None:
    log = tend(record, 40, Retention(delete_after_days=30, redact_after_days=10))
    log.close()
    assert recorded(record) == [("removed", 20), ("blanked", 60)]
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
    assert recorded(record) == [("removed", 20), ("blanked", 60)]
    tend(record, 41, Retention(30, 10)).close()
    assert recorded(record)[2:] == [("removed", 22), ("blanked", 62)]
    assert record.found() == []


@pytest.mark.parametrize("steps", range(0, 90, 7))
def test_retention_continues_after_stop(record: Record, steps: int) -> None:
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


def test_retention_step_is_small(record: Record) -> None:
    """A step handles one segment at most: a record waits no longer than that."""
    log = record.open(wall=lambda: BEGAN + 40 * DAY_S, retention=Retention(30, 10))
    for _ in range(200):
        before = len(record.paths)
        log.run_maintenance()
        assert before - len(record.paths) <= 1
    log.close()


def test_erase_large_segment_in_steps(tmp_path: Path) -> None:
    record = Record(tmp_path / "decisions", count=2000, segment_bytes=1 << 20)
    steps = [len(done) for done in erase_personal_parts(record.paths[0], lambda _: True)]
    assert sum(steps) == 2000 and len(steps) > 2 and max(steps) < 1000
    assert record.found() == []


@pytest.mark.parametrize("day", [-400, -1, 40 + 60, 40 + 3650])
def test_retention_untrusted_clock_keeps_all(record: Record, day: float) -> None:
    before = {path: path.read_bytes() for path in record.paths[:-1]}
    tend(record, day, Retention(30, 10)).close()
    assert {path: path.read_bytes() for path in before} == before
    assert record.found() == []


def test_clock_far_ahead_waits_for_operator(record: Record) -> None:
    """A terminal that was off for two months erases old records once an operator confirms."""
    for day in range(100, 110):
        tend(record, day, Retention(30, 20)).close()
        record.write(1, day)
    assert {reason for reason, _ in recorded(record)} == {"clock-untrusted"} and len(
        record.paths
    ) > 40
    log = record.open(wall=lambda: BEGAN + 110 * DAY_S, retention=Retention(30, 20))
    assert log.clock.confirm() is None
    for _ in range(10_000):
        log.run_maintenance()
    log.close()
    assert ("removed", 80) in recorded(record) and record.found() == []


def test_retention_after_clock_ahead_is_in_time(record: Record) -> None:
    """The age of its records is limited by the records that follow."""
    record.write(2, 4000)
    for day in range(40, 52):
        record.write(2, day)
    tend(record, 52, Retention(11, 5)).close()
    assert recorded(record)[-2][0] == "removed" and record.found() == []
    assert not [r for r in read_log(record.folder) if r["wall"] > BEGAN + 1000 * DAY_S]


def test_retention_unset_clock_ages_nothing(record: Record) -> None:
    """Records of 1970, before the time was known, are as old as their neighbours."""
    for day in range(-20000, -19998):
        record.write(2, day)
    record.write(2, 40)
    tend(record, 41, Retention(30, 10)).close()
    assert [r["wall"] > 1.7e9 for r in read_log(record.folder)].count(False) == 4


def test_erase_while_writer_runs(record: Record) -> None:
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
def test_erase_completes_partial_erasure(record: Record, keep: int) -> None:
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


def test_erase_of_truncated_line_harms_none(record: Record) -> None:
    """The erasure writes beyond the end; the next record begins on a new line."""
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


def test_retention_changes_while_log_is_open(record: Record) -> None:
    log = AuditLogWriter(record.folder, log_id=OF, wall=lambda: BEGAN + 40 * DAY_S)
    for _ in range(300):
        log.run_maintenance()
    assert recorded(record) == []
    log.retention = Retention(30, 10)
    for _ in range(300):
        log.run_maintenance()
    log.close()
    assert recorded(record) == [("removed", 20), ("blanked", 60)]
