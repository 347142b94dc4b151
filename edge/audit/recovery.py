"""Crash recovery of an audit log: the state to continue from after a stop or a power cut."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.audit import writer_state
from edge.audit.chain import ID_JUMP_MAX, KEY_BYTES, next_key, record_mac
from edge.audit.kinds import GapReason, RecordKind
from edge.audit.segments import (
    TAIL_BYTES,
    LogEnd,
    find_log_end,
    find_unacknowledged,
    first_record_id,
    list_segments,
)
from edge.audit.writer_state import VerificationKey, WriterState, WriterStateFile
from edge.system.atomic_files import open_regular


@dataclass(frozen=True, slots=True)
class Recovery:
    """State from which the writer continues."""

    end: LogEnd
    state: WriterState
    file: WriterStateFile | None  # None: the state cannot be stored
    gaps: list[dict[str, Any]]  # records to write before any other


def recover(folder: Path) -> Recovery:
    """Find the state from which the writer continues. Raises OSError.

    If the writer state is missing or belongs to another log, a new chain begins.
    """
    with contextlib.suppress(OSError):  # then the next record marks the invalid end
        if (known := writer_state.read_state(folder)) is not None:
            truncate_unacknowledged(folder, known.durable)
    end = find_log_end(folder)
    gaps: list[dict[str, Any]] = []
    file = _open_state(folder)
    state = _advance(file.state, end) if file else None
    if state is None:
        if file is not None:
            file.close()
        state, file = _begin_chain(folder, end.free_id)
        if end.free_id > 1:
            gaps.append({"kind": RecordKind.GAP, "reason": GapReason.NEW_CHAIN})
    if (gap := _missing_end(state, end)) is not None:
        gaps.append(gap)
    if end.last is not None:
        state = replace(state, hash=end.last.hash)
    return Recovery(end, state, file, gaps)


def truncate_unacknowledged(folder: Path, durable: int) -> None:
    """Truncate the newest segment at the first record that was never acknowledged.

    `durable`: the newest record that was certainly on disk. Raises OSError.
    """
    paths = list_segments(folder)
    if not paths:
        return
    fd = open_regular(paths[-1], os.O_RDWR)
    try:
        size = os.fstat(fd).st_size
        start = max(0, size - TAIL_BYTES)
        tail = os.pread(fd, size - start, start)
        cut = find_unacknowledged(tail, first_record_id(paths[-1]), durable, partial=start > 0)
        if cut is not None:
            os.ftruncate(fd, start + cut)
            os.fsync(fd)
    finally:
        os.close(fd)


def skip_to(state: WriterState, next_id: int) -> WriterState:
    """Return the state with a later next id; its key is derived."""
    steps = max(0, next_id - state.next_id)
    return replace(state, next_id=state.next_id + steps, key=next_key(state.key, steps))


def _open_state(folder: Path) -> WriterStateFile | None:
    try:
        return WriterStateFile(folder / writer_state.STATE)
    except (OSError, ValueError):
        return None


def _advance(state: WriterState, end: LogEnd) -> WriterState | None:
    """Return the state brought to the newest record; None if it belongs to another log."""
    last = end.last
    if end.free_id - state.next_id > ID_JUMP_MAX:
        return None
    if last is not None and state.next_id <= last.id:  # the state is written after the record
        key = next_key(state.key, last.id - state.next_id)
        if record_mac(key, last.hash) != last.mac:
            return None
        state = replace(state, next_id=last.id + 1, key=next_key(key), hash=last.hash)
    elif last is not None and state.next_id == last.id + 1 and state.hash != last.hash:
        return None
    return skip_to(state, end.free_id)


def _begin_chain(folder: Path, first_id: int) -> tuple[WriterState, WriterStateFile | None]:
    """Begin a chain with a new verification key.

    A key file that cannot be written does not stop the writer; the chain cannot be verified then.
    """
    state, file = WriterState(first_id, secrets.token_bytes(KEY_BYTES)), None
    path = writer_state.default_key_path(folder)
    with contextlib.suppress(OSError):  # includes RecordError
        keys = writer_state.read_keys(path)
        # A key of this id exists if the last start was stopped before the state was written.
        made = next((each.key for each in keys if each.first_id == first_id), None)
        if made is None:
            writer_state.write_keys(path, [*keys, VerificationKey(first_id, state.key)])
        else:
            state = replace(state, key=made)
        writer_state.write_state(folder, state)
        file = WriterStateFile(folder / writer_state.STATE)
    return state, file


def _missing_end(state: WriterState, end: LogEnd) -> dict[str, Any] | None:
    """Return the gap record for records that are in the state but not in the log."""
    from_id, to_id = end.last.id + 1 if end.last else 1, state.next_id - 1
    if from_id > to_id:
        return None
    is_cut = state.durable >= from_id
    return {
        "kind": RecordKind.GAP,
        "reason": GapReason.CUT_TAIL if is_cut else GapReason.LOST_TAIL,
        "from": from_id,
        "to": to_id,
        "was": state.hash.hex(),
    }
