"""Records as people and programs want them: both parts of a line in one, whatever cannot be read left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.audit.chain import LINE_MAX, SALT
from edge.audit.segments import (
    SEGMENT_MAX,
    TAIL_BYTES,
    find_unacknowledged,
    first_record_id,
    list_segments,
    read_segment_tail,
    split_lines,
)
from edge.audit.writer_state import read_state
from edge.errors import RecordError
from edge.system.atomic_files import read_regular

DecryptFields = Callable[
    [int, str], dict[str, Any] | None
]  # what was sealed to the number of a record; None where the key does not fit
REDACTED = "redacted"
GARBAGE_MAX = 10_000  # invalid lines of a segment, after which its rest is not read


def parse_record(line: bytes, unseal: DecryptFields | None = None) -> dict[str, Any] | None:
    """A line's public and personal fields; None where it is no record."""
    public, _, personal = line.partition(b"\t")
    record = _object(public)
    if record is None:
        return None
    told = _object(personal)
    if told is None:
        return {**record, "erased": True} if "commit" in record else record
    told.pop(SALT, None)
    if isinstance(sealed := told.get("sealed"), str):
        opened = unseal(record_id(record), sealed) if unseal else None
        if opened is None:
            told["sealed"] = REDACTED
        else:
            del told["sealed"]
            told |= opened
    return {**record, **told}


def read_log(folder: Path, unseal: DecryptFields | None = None) -> list[dict[str, Any]]:
    """All readable records, in order."""
    return list(read_records(folder, unseal))


def read_records(
    folder: Path,
    unseal: DecryptFields | None = None,
    since: int = 0,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """The readable records after a number, in order; a segment that is removed meanwhile is left out, and so is what was never
    acknowledged: its writer takes it back when it starts. `progress` is told of bytes. Raises OSError."""
    durable, paths = (
        _durable(folder),
        list_segments(folder),
    )  # before the records, which may go on meanwhile
    for path in segments_since(paths, since):
        data = read_segment(path)
        progress(len(data))
        if path is paths[-1] and durable is not None:
            data = _acknowledged(data, first_record_id(path), durable)
        garbage = 0
        for _, line, ended in split_lines(data):
            record = parse_record(line, unseal) if ended and len(line) <= LINE_MAX else None
            garbage += record is None
            if garbage > GARBAGE_MAX:
                break
            if record is not None and (not since or record_id(record) > since):
                yield record


def _durable(folder: Path) -> int | None:
    """The newest record that was on disk for certain; None where this account may not look, or nobody knows."""
    try:
        known = read_state(folder)
    except OSError:
        return None
    return known.durable if known else None


def _acknowledged(data: bytes, first_id: int, durable: int) -> bytes:
    start = max(0, len(data) - TAIL_BYTES)
    cut = find_unacknowledged(data[start:], first_id, durable, partial=start > 0)
    return data if cut is None else data[: start + cut]


def segments_since(paths: list[Path], since: int) -> list[Path]:
    """Those that may hold records after a number."""
    after = [i for i, path in enumerate(paths) if first_record_id(path) > since]
    return paths[max(0, (after[0] if after else len(paths)) - 1) :]


def read_segment(path: Path) -> bytes:
    """Nothing where it was removed meanwhile. Raises OSError."""
    try:
        return read_regular(path, SEGMENT_MAX)
    except FileNotFoundError:
        return b""


def read_newest_first(folder: Path) -> list[dict[str, Any]]:
    """The readable records in the end, whichever segments it is in. Raises OSError."""
    found: list[dict[str, Any]] = []
    room = TAIL_BYTES
    for path in reversed(list_segments(folder)):
        tail = read_segment_tail(path, room)
        here = [
            record for record in map(parse_record, tail.lines[tail.torn :]) if record is not None
        ]
        if tail.size and not here and not found and not tail.is_unfinished:
            raise RecordError(f"{path}: the record cannot be read: no line in its end is a record")
        found += here
        room -= min(tail.size, room)
        if not room:
            break
    return found


def read_tail(folder: Path) -> list[dict[str, Any]]:
    """The readable records in the end, newest first; none where there is no record. Raises RecordError."""
    try:
        return read_newest_first(folder)
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(f"{folder}: the record cannot be read: {error.strerror}") from error


def follow_records(
    folder: Path, unseal: DecryptFields | None = None
) -> Iterator[dict[str, Any] | None]:
    """Records from now on, without end; None each time that there is none. Raises OSError."""
    reached = next(map(record_id, read_newest_first(folder)), 0)
    while True:
        for record in read_records(folder, unseal, reached):
            reached = record_id(record)
            yield record
        yield None


def record_id(record: Mapping[str, Any]) -> int:
    """0 for a line that has none."""
    number = record.get("id")
    return number if isinstance(number, int) else 0


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
