"""Changes by an attacker with the writer's account, and the findings of a verification."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.audit.chain import build_line, next_key
from edge.audit.segments import first_record_id
from edge.audit.verify import ExpectedRecord, verify_log
from edge.audit.writer import AuditLogWriter
from edge.audit.writer_state import default_key_path, read_keys, read_state, write_state
from tests.edge.audit.records import OF, Record


@pytest.fixture
def record(tmp_path: Path) -> Record:
    made = Record(tmp_path / "decisions")
    assert len(made.paths) == 3 and made.found() == []
    return made


def test_verify_untouched_log_is_authentic(record: Record) -> None:
    report = record.verify()
    assert (report.findings, report.notes) == ([], [])
    assert (
        (report.records, report.authentic, report.first_id) == (12, 12, 1)
        and report.last is not None
        and report.last.id == 12
    )


def test_verify_without_key_checks_the_chain(record: Record) -> None:
    report = record.verify(keys=False)
    assert report.findings == [] and (report.records, report.authentic) == (12, 0)
    record.put([line.replace(b'"frame":6', b'"frame":9') for line in record.lines()])
    assert [finding.id for finding in record.verify(keys=False).findings] == [7]


def test_verify_changed_public_field(record: Record) -> None:
    record.put([line.replace(b'"frame":6,', b'"frame":9,') for line in record.lines()])
    assert record.found() == [("changed", 7)]


def test_verify_changed_personal_part(record: Record) -> None:
    lines = record.lines()
    lines[4] = lines[4].replace(b"Ada", b"Eve")
    record.put(lines)
    assert record.found() == [("personal-modified", 5)]


def test_verify_added_personal_part(record: Record) -> None:
    log = record.open()
    log.append({"kind": "stopped"})
    log.close()
    record.put([*record.lines()[:-1], record.lines()[-1][:-1] + b'{"subject":"Eve"}\n'])
    assert record.found() == [("personal-modified", 13)]


def test_personal_parts_are_swapped(record: Record) -> None:
    lines = record.lines()
    (a, _, ada), (b, _, ben) = lines[4].partition(b"\t"), lines[5].partition(b"\t")
    lines[4:6] = [a + b"\t" + ben, b + b"\t" + ada]
    record.put(lines)
    assert record.found() == [("personal-modified", 5), ("personal-modified", 6)]


def test_verify_removed_record(record: Record) -> None:
    lines = record.lines()
    record.put([*lines[:6], *lines[7:]])
    assert record.found() == [("removed", 7)]


def test_records_are_removed_at_the_front(record: Record) -> None:
    path = record.paths[0]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[2:]))
    assert ("missing-start", 1) in record.found() and set(record.found()) <= {
        ("missing-start", 1),
        ("removed", 3),
    }


@pytest.mark.parametrize("which", [0, 1])
def test_verify_removed_segment(record: Record, which: int) -> None:
    gone = first_record_id(record.paths[which])
    record.paths[which].unlink()
    assert record.found() == [("missing-start" if which == 0 else "removed", gone)]


def test_verify_inserted_copy(record: Record) -> None:
    lines = record.lines()
    record.put([*lines[:8], lines[2], *lines[8:]])
    assert record.found() == [("inserted", 3)]


def test_verify_inserted_invalid_line(record: Record) -> None:
    lines = record.lines()
    record.put([*lines[:8], b"nothing\n", *lines[8:]])
    assert [what for what, _ in record.found()] == ["inserted"]


def test_verify_forged_chain_without_key(record: Record) -> None:
    """All hashes fit, but no MAC fits from the forged record on."""
    lines = record.lines()
    forged, _ = build_line(
        {"id": 7, "wall": 1.8e9, "kind": "decision"},
        {"subject": "Eve"},
        record.at(6).hash,
        bytes(32),
    )
    record.put([*lines[:6], forged, *lines[6:]])
    record.rewrite(7, bytes(32))
    renumbered = []
    before = record.at(6).hash
    for number, line in enumerate(record.lines()[6:], 7):
        public = {"id": number, "wall": 1.8e9, "kind": "decision"}
        line, before = build_line(public, {"subject": "Eve"}, before, bytes(32))
        renumbered.append(line)
    record.put([*lines[:6], *renumbered])
    assert (
        record.found()[:1] == [("forged", 7)]
        and "records 7 to 13" in record.verify().findings[0].message
    )


def test_verify_reordered_records(record: Record) -> None:
    lines = record.lines()
    lines[5:7] = [lines[6], lines[5]]
    record.put(lines)
    assert record.found() == [("reordered", 6)]


def test_verify_truncated_log(record: Record) -> None:
    end = record.verify().last
    assert end is not None
    record.put(record.lines()[:-2])
    assert record.found() == [("truncated", 11)]  # the writer's state expects more records
    old = record.at(10)
    forward = read_state(record.folder)
    assert forward is not None
    write_state(
        record.folder,
        type(forward)(
            11, next_key(read_keys(default_key_path(record.folder))[0].key, 10), old.hash, 10
        ),
    )
    assert (
        record.found() == []
    )  # a state set back with the log shows nothing: only an old copy of it does
    assert record.found(ExpectedRecord(12, end.hash)) == [("truncated", 11)]


def test_verify_cut_tail_recorded_at_next_start(record: Record) -> None:
    record.put(record.lines()[:-2])
    log = record.open()
    assert log.append({"kind": "started"}) == 14  # numbers are never used again
    log.close()
    assert record.found() == [("cut-tail", 13)]
    assert record.at(11).public["from"] == 11 and record.at(11).public["to"] == 12


def test_verify_lost_tail_is_no_finding(record: Record) -> None:
    log = record.open()
    log.append({"kind": "decision"}, durable=False)
    log.close()
    record.put(record.lines()[:-1])
    log = record.open()
    assert log.append({"kind": "started"}) == 15
    log.close()
    report = record.verify()
    assert report.findings == [] and "records 13 to 13 were lost with the power" in report.notes[0]


def test_verify_truncated_last_line(record: Record) -> None:
    path = record.paths[-1]
    path.write_bytes(path.read_bytes()[:-20])
    assert record.found() == [("truncated", 12)]


def test_verify_old_state_gains_nothing(record: Record) -> None:
    """The state is behind as after a power cut; the writer brings it forward."""
    old = (record.folder / "state").read_bytes()
    record.write(3)
    (record.folder / "state").write_bytes(old)
    assert record.found() == [] and "3 records behind" in record.verify().notes[0]
    record.write(2)
    assert record.found() == [] and record.verify().authentic == 17


def test_verify_state_of_another_log(record: Record, tmp_path: Path) -> None:
    other = Record(tmp_path / "other")
    shutil.copy(other.folder / "state", record.folder / "state")
    assert record.found() == [("state-mismatch", 12)]
    record.write(1)
    assert ("new-chain", 13) in record.found()


def test_verify_replaced_key_in_state(record: Record) -> None:
    state = read_state(record.folder)
    assert state is not None
    write_state(record.folder, type(state)(state.next_id, bytes(32), state.hash, state.durable))
    assert record.found() == [("state-mismatch", 12)]
    record.write(3)
    assert record.found() == [("forged", 13), ("state-mismatch", 15)] or record.found() == [
        ("forged", 13)
    ]


@pytest.mark.parametrize("content", [None, b"", b"x" * 1024])
def test_verify_missing_state_begins_new_chain(record: Record, content: bytes | None) -> None:
    path = record.folder / "state"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert record.found() == [("state-mismatch", 12)]
    record.write(3)
    assert record.found() == [("new-chain", 13)] and record.verify().authentic == 16


def test_verify_stolen_key_forges_nothing_before(record: Record) -> None:
    """The chain is rewritten from a record on.

    With the key of that time only a checkpoint shows it; records before the theft cannot be forged.
    """
    end = record.verify().last
    assert end is not None
    stolen = read_state(record.folder)
    assert stolen is not None and stolen.next_id == 13
    record.write(4)
    newer = record.verify().last
    assert newer is not None
    shutil.copytree(record.folder, record.folder.with_name("copy"))
    record.rewrite(13, stolen.key, reason="forged")
    assert [what for what, _ in record.found()] == ["state-mismatch"]
    write_state(record.folder, type(stolen)(17, next_key(stolen.key, 4), record.at(16).hash, 16))
    assert record.found() == []
    assert record.found(ExpectedRecord(12, end.hash)) == [] and record.found(
        ExpectedRecord(16, newer.hash)
    ) == [("checkpoint-mismatch", 16)]
    shutil.rmtree(record.folder)
    shutil.copytree(record.folder.with_name("copy"), record.folder)
    record.rewrite(9, stolen.key)
    assert record.found()[:1] == [("forged", 9)]


def test_verify_log_of_another_terminal(record: Record, tmp_path: Path) -> None:
    other = Record(tmp_path / "other", log_id="lobby-2/decisions")
    for path in (*record.paths, *other.paths):
        if path in record.paths:
            path.unlink()
    for path in other.paths:
        shutil.copy(path, record.folder)
    report = record.verify()
    assert (
        report.findings[0].code == "wrong-log"
        and "'lobby-2/decisions'" in report.findings[0].message
    )
    forged = [finding for finding in report.findings if finding.code == "forged"]
    assert (
        [finding.id for finding in forged] == [1]
        and "a wrong key" in forged[0].message
        and report.authentic == 0
    )


def test_verify_restarted_log_has_untrusted_key(record: Record) -> None:
    kept = read_keys(default_key_path(record.folder))
    shutil.rmtree(record.folder)
    default_key_path(record.folder).unlink()
    record.write(5)
    made = read_keys(default_key_path(record.folder))
    found = verify_log(
        record.folder, [*kept, *made], log_id=OF, state=read_state(record.folder), trusted=1
    ).findings
    assert [finding.code for finding in found] == ["new-chain"]
    assert (
        verify_log(record.folder, made, log_id=OF, state=read_state(record.folder)).findings == []
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Record:
    made = Record(tmp_path_factory.mktemp("small") / "decisions", count=6, segment_bytes=900)
    assert len(made.paths) > 1 and made.found() == []
    return made


@settings(max_examples=400)
@given(data=st.data())
def test_verify_finds_any_changed_byte(small: Record, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(small.paths))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != original[position]))
    try:
        path.write_bytes(original[:position] + bytes([byte]) + original[position + 1 :])
        assert small.found() != []
    finally:
        path.write_bytes(original)


@settings(max_examples=150)
@given(data=st.data())
def test_verify_finds_any_moved_lines(small: Record, data: st.DataObject) -> None:
    before = {path: path.read_bytes() for path in small.paths}
    lines = small.lines()
    untouched = [*range(len(lines))]
    chosen = data.draw(
        st.lists(st.sampled_from(untouched), max_size=len(lines) + 2).filter(
            lambda c: c != untouched
        )
    )
    try:
        small.put([lines[i] for i in chosen])
        assert small.found() != []
    finally:
        for path, original in before.items():
            path.write_bytes(original)


def test_verify_during_writing(record: Record) -> None:
    """The state is read first, so that records written meanwhile are not missing."""
    state = read_state(record.folder)
    record.write(2)
    first = read_keys(default_key_path(record.folder))
    assert verify_log(record.folder, first, log_id=OF, state=state).findings == []


def test_verify_empty_folder(tmp_path: Path) -> None:
    report = verify_log(tmp_path / "none")
    assert report.findings == [] and report.records == 0
    log = AuditLogWriter(tmp_path / "empty")
    log.close()
    assert verify_log(tmp_path / "empty", state=read_state(tmp_path / "empty")).findings == []
