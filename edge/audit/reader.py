"""Reader of audit logs: both parts of a line in one record; unreadable lines are left out."""

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

# Decrypts the sealed fields of a record id; None if the key does not fit.
DecryptFields = Callable[[int, str], dict[str, Any] | None]
REDACTED = "redacted"
GARBAGE_MAX = 10_000  # invalid lines of a segment, after which its rest is not read


def parse_record(line: bytes, decrypt: DecryptFields | None = None) -> dict[str, Any] | None:
    """Return the public and personal fields of a line; None if it is no record."""
    public, _, personal = line.partition(b"\t")
    record = _object(public)
    if record is None:
        return None
    personal_fields = _object(personal)
    if personal_fields is None:
        return {**record, "erased": True} if "commit" in record else record
    personal_fields.pop(SALT, None)
    if isinstance(sealed := personal_fields.get("sealed"), str):
        opened = decrypt(record_id(record), sealed) if decrypt else None
        if opened is None:
            personal_fields["sealed"] = REDACTED
        else:
            del personal_fields["sealed"]
            personal_fields |= opened
    return {**record, **personal_fields}


def read_log(folder: Path, decrypt: DecryptFields | None = None) -> list[dict[str, Any]]:
    """Return all readable records in order. Raises OSError."""
    return list(read_records(folder, decrypt))


def read_records(
    folder: Path,
    decrypt: DecryptFields | None = None,
    since: int = 0,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Yield the readable records after an id, in order. Raises OSError.

    Segments that are removed during the read and lines that were never acknowledged are left out.
    `progress` is called with bytes.
    """
    durable, paths = (
        _durable(folder),
        list_segments(folder),
    )  # before the records: the writer may append more
    for path in segments_since(paths, since):
        data = read_segment(path)
        progress(len(data))
        if path is paths[-1] and durable is not None:
            data = _acknowledged(data, first_record_id(path), durable)
        garbage = 0
        for _, line, ended in split_lines(data):
            record = parse_record(line, decrypt) if ended and len(line) <= LINE_MAX else None
            garbage += record is None
            if garbage > GARBAGE_MAX:
                break
            if record is not None and (not since or record_id(record) > since):
                yield record


def _durable(folder: Path) -> int | None:
    """Return the newest record that was certainly on disk; None if this account cannot read it."""
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
    """Return the segments that may contain records after an id."""
    after = [i for i, path in enumerate(paths) if first_record_id(path) > since]
    return paths[max(0, (after[0] if after else len(paths)) - 1) :]


def read_segment(path: Path) -> bytes:
    """Return the content of a segment, empty if it is removed. Raises OSError."""
    try:
        return read_regular(path, SEGMENT_MAX)
    except FileNotFoundError:
        return b""


def read_newest_first(folder: Path) -> list[dict[str, Any]]:
    """Return the readable records at the end of a log, newest first. Raises OSError."""
    found: list[dict[str, Any]] = []
    room = TAIL_BYTES
    for path in reversed(list_segments(folder)):
        tail = read_segment_tail(path, room)
        here = [
            record for record in map(parse_record, tail.lines[tail.torn :]) if record is not None
        ]
        if tail.size and not here and not found and not tail.is_unfinished:
            raise RecordError(
                f"{path}: the audit log cannot be read: no line at its end is a record"
            )
        found += here
        room -= min(tail.size, room)
        if not room:
            break
    return found


def read_tail(folder: Path) -> list[dict[str, Any]]:
    """Return the records at the end, newest first; empty without a log. Raises RecordError."""
    try:
        return read_newest_first(folder)
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(f"{folder}: the audit log cannot be read: {error.strerror}") from error


def follow_records(
    folder: Path, decrypt: DecryptFields | None = None
) -> Iterator[dict[str, Any] | None]:
    """Yield new records without end, None when there is none at present. Raises OSError."""
    reached = next(map(record_id, read_newest_first(folder)), 0)
    while True:
        for record in read_records(folder, decrypt, reached):
            reached = record_id(record)
            yield record
        yield None


def record_id(record: Mapping[str, Any]) -> int:
    """Return the id of a record, 0 if it has none."""
    number = record.get("id")
    return number if isinstance(number, int) else 0


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
