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
    first_id_of,
    lines_of,
    segments,
    tail_of,
    unacknowledged_from,
)
from edge.audit.writer_state import read_state
from edge.errors import RecordError
from edge.system.atomic_files import read_regular

Unseal = Callable[
    [int, str], dict[str, Any] | None
]  # what was sealed to the number of a record; None where the key does not fit
REDACTED = "redacted"
GARBAGE_MAX = 10_000  # invalid lines of a segment, after which its rest is not read


def record_of(line: bytes, unseal: Unseal | None = None) -> dict[str, Any] | None:
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
        opened = unseal(number_of(record), sealed) if unseal else None
        if opened is None:
            told["sealed"] = REDACTED
        else:
            del told["sealed"]
            told |= opened
    return {**record, **told}


def read_log(folder: Path, unseal: Unseal | None = None) -> list[dict[str, Any]]:
    """All readable records, in order."""
    return list(records(folder, unseal))


def records(
    folder: Path,
    unseal: Unseal | None = None,
    since: int = 0,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """The readable records after a number, in order; a segment that is removed meanwhile is left out, and so is what was never
    acknowledged: its writer takes it back when it starts. `progress` is told of bytes. Raises OSError."""
    durable, paths = (
        _durable(folder),
        segments(folder),
    )  # before the records, which may go on meanwhile
    for path in since_of(paths, since):
        data = read_segment(path)
        progress(len(data))
        if path is paths[-1] and durable is not None:
            data = _acknowledged(data, first_id_of(path), durable)
        garbage = 0
        for _, line, ended in lines_of(data):
            record = record_of(line, unseal) if ended and len(line) <= LINE_MAX else None
            garbage += record is None
            if garbage > GARBAGE_MAX:
                break
            if record is not None and (not since or number_of(record) > since):
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
    cut = unacknowledged_from(data[start:], first_id, durable, partial=start > 0)
    return data if cut is None else data[: start + cut]


def since_of(paths: list[Path], since: int) -> list[Path]:
    """Those that may hold records after a number."""
    after = [i for i, path in enumerate(paths) if first_id_of(path) > since]
    return paths[max(0, (after[0] if after else len(paths)) - 1) :]


def read_segment(path: Path) -> bytes:
    """Nothing where it was removed meanwhile. Raises OSError."""
    try:
        return read_regular(path, SEGMENT_MAX)
    except FileNotFoundError:
        return b""


def newest_first(folder: Path) -> list[dict[str, Any]]:
    """The readable records in the end, whichever segments it is in. Raises OSError."""
    found: list[dict[str, Any]] = []
    room = TAIL_BYTES
    for path in reversed(segments(folder)):
        tail = tail_of(path, room)
        here = [record for record in map(record_of, tail.lines[tail.torn :]) if record is not None]
        if tail.size and not here and not found and not tail.begun:
            raise RecordError(f"{path}: the record cannot be read: no line in its end is a record")
        found += here
        room -= min(tail.size, room)
        if not room:
            break
    return found


def read_tail(folder: Path) -> list[dict[str, Any]]:
    """The readable records in the end, newest first; none where there is no record. Raises RecordError."""
    try:
        return newest_first(folder)
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(f"{folder}: the record cannot be read: {error.strerror}") from error


def follow(folder: Path, unseal: Unseal | None = None) -> Iterator[dict[str, Any] | None]:
    """Records from now on, without end; None each time that there is none. Raises OSError."""
    reached = next(map(number_of, newest_first(folder)), 0)
    while True:
        for record in records(folder, unseal, reached):
            reached = number_of(record)
            yield record
        yield None


def number_of(record: Mapping[str, Any]) -> int:
    """0 for a line that has none."""
    number = record.get("id")
    return number if isinstance(number, int) else 0


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
