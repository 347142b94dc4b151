"""Verification of an audit log: chain, MACs, writer state and checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.audit.chain import next_key
from edge.audit.chain_walk import ChainWalk
from edge.audit.findings import FindingCode
from edge.audit.reader import GARBAGE_MAX, read_segment
from edge.audit.report import VerificationReport, format_span
from edge.audit.segments import invalid_segments, list_segments, split_lines
from edge.audit.verification_keys import VerificationKeys
from edge.audit.writer_state import VerificationKey, WriterState


@dataclass(frozen=True, slots=True)
class ExpectedRecord:
    """Record of a checkpoint."""

    id: int
    hash: bytes


def verify_log(
    folder: Path,
    first: Sequence[VerificationKey] = (),
    *,
    log_id: str | None = None,
    expected: ExpectedRecord | None = None,
    state: WriterState | None = None,
    trusted: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> VerificationReport:
    """Verify all records of a log. Raises OSError.

    `first`: verification keys of its chains; root keeps the first `trusted` of them. `state`: read
    before the call, so that records written during the call are newer. `progress` is called with
    bytes.
    """
    keys = VerificationKeys(first, trusted)
    walk = ChainWalk(keys, log_id)
    report = walk.report
    for name, why in invalid_segments(folder).items():
        message = f"{why}: another program wrote it; examine it and remove it"
        report.add(FindingCode.NOT_A_SEGMENT, name, 0, message)
    unended, found_hash = None, None
    paths = [path for path in list_segments(folder) if path.stat().st_size]
    for path in paths:
        data, walk.invalid_in_segment = read_segment(path), 0
        for number, (_, raw, ended) in enumerate(split_lines(data), 1):
            if walk.invalid_in_segment >= GARBAGE_MAX:
                walk.stop_segment(path.name)
                break
            where = f"{path.name}, line {number}"
            if ended or path is not paths[-1]:
                walk.check_line(raw, where, ended=ended)
            else:
                unended = where
            if expected is not None and report.last and report.last.id == expected.id:
                found_hash = report.last.hash
        progress(len(data))
    walk.end()
    _check_state(report, keys, state, unended)
    walk.note_totals()
    if expected is not None:
        _check_checkpoint(report, expected, found_hash)
    return report


def _check_state(
    report: VerificationReport,
    keys: VerificationKeys,
    state: WriterState | None,
    unended: str | None,
) -> None:
    """Compare the log with the writer state; an attacker who truncates the log can restore both.

    `unended`: location of a last line without its newline.
    """
    last, last_id = report.last, report.last_id
    if state is None:
        _report_missing_state(report, keys)
        return
    if state.next_id > last_id + 1:
        absent = range(last_id + 1, state.next_id)
        message = f"{format_span(absent)} were written and are missing"
        report.add(FindingCode.TRUNCATED, unended or "the end", absent[0], message)
    elif unended is not None:
        report.notes.append(
            f"a record is being written, or its writer was stopped while it wrote ({unended})"
        )
    elif state.next_id <= last_id:
        behind = last_id + 1 - state.next_id
        report.notes.append(f"the writer state is {behind} records behind; the writer updates it")
    if last is None or state.next_id != last_id + 1:
        return
    current = keys.current
    is_other_key = current is not None and next_key(current[1].key) != state.key
    if state.hash != last.hash or is_other_key:
        message = "the writer state does not belong to this log: it was replaced"
        report.add(FindingCode.STATE_MISMATCH, "state", last_id, message)


def _report_missing_state(report: VerificationReport, keys: VerificationKeys) -> None:
    if report.last is not None:
        message = "the writer state is missing or unreadable: the next start begins a new chain"
        report.add(FindingCode.STATE_MISMATCH, "state", report.last_id, message)
    elif keys.has_keys:
        message = "there is a verification key, and neither a log nor its writer state"
        report.add(FindingCode.STATE_MISMATCH, "state", 0, message)


def _check_checkpoint(
    report: VerificationReport, expected: ExpectedRecord, found: bytes | None
) -> None:
    """Compare the log with the record of a checkpoint; `found`: hash of the record of its id."""
    if found == expected.hash:
        return
    if found is not None:
        message = f"record {expected.id} is not the record of the checkpoint"
        report.add(FindingCode.CHECKPOINT_MISMATCH, "the checkpoint", expected.id, message)
    elif expected.id > report.last_id:
        absent = range(report.last_id + 1, expected.id + 1)
        message = f"{format_span(absent)} existed when the checkpoint was made and are missing"
        report.add(FindingCode.TRUNCATED, "the end", absent[0], message)
    elif expected.id < report.first_id:
        report.notes.append(f"the checkpoint is of record {expected.id}, which was removed")
    else:
        message = f"record {expected.id} of the checkpoint is missing"
        report.add(FindingCode.CHECKPOINT_MISMATCH, "the checkpoint", expected.id, message)
