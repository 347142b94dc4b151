"""How long records are kept, and how what tells of a person is erased in them without touching the chain."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.audit.chain import ChainLine, parse_line
from edge.audit.clock import LATEST_BELIEVED
from edge.audit.kinds import RecordKind, RetentionReason
from edge.audit.segments import (
    SEGMENT_MAX,
    first_record_id,
    list_segments,
    read_segment_tail,
    split_lines,
)
from edge.system.atomic_files import open_regular, sync_folder
from edge.system.wallclock import BUILT_AFTER, DAY_S, ClockDoubt

_STEP_BYTES = 1 << 18  # of a segment that are looked through, and reach the disk, in one step

Append = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Retention:
    """In days."""

    delete_after_days: float = 365
    redact_after_days: float = 90


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    upto: int  # the last record in it, by the name of the next
    walls: tuple[
        float, ...
    ]  # of its first and its newest record, where their clock can have been right


def maintenance_steps(
    folder: Path, keep: Retention, now: float, doubt: ClockDoubt | None, blanked: int, tell: Append
) -> Iterator[None]:
    """What is to be done, in steps of some milliseconds; the newest segment is left alone. `tell` puts it on record: what is
    removed before, so that a stop in between leaves no hole that nothing tells of, and what is blanked afterwards, so that it is
    gone through again. Raises OSError."""
    found: list[_Segment] = []
    paths = list_segments(folder)
    for path, following in zip(paths, [*paths[1:], None], strict=True):
        found.append(_look(path, first_record_id(following) - 1 if following else 0))
        yield
    ends = _ends(found, now)
    gone = [
        each
        for each, end in zip(found[:-1], ends, strict=False)
        if end < now - keep.delete_after_days * DAY_S
    ]
    faded = [
        each
        for each, end in zip(found[:-1], ends, strict=False)
        if end < now - keep.redact_after_days * DAY_S
    ]
    faded = [each for each in faded if each not in gone and each.upto > blanked]
    if not gone and not faded:
        return
    if doubt is not None:
        tell(
            {
                "kind": RecordKind.RETENTION,
                "reason": RetentionReason.CLOCK_UNTRUSTED,
                "doubt": doubt.value,
            }
        )
        return
    if gone:
        tell(
            {"kind": RecordKind.RETENTION, "reason": RetentionReason.REMOVED, "upto": gone[-1].upto}
        )
    for each in gone:
        each.path.unlink(missing_ok=True)
        sync_folder(folder)
        yield
    for each in faded:
        for _ in erase_personal_parts(each.path, lambda _: True):
            yield
    if faded:
        tell(
            {
                "kind": RecordKind.RETENTION,
                "reason": RetentionReason.BLANKED,
                "upto": faded[-1].upto,
            }
        )


def _look(path: Path, upto: int) -> _Segment:
    fd = open_regular(path)
    try:
        first = parse_line(os.pread(fd, _STEP_BYTES, 0).partition(b"\n")[0])
    finally:
        os.close(fd)
    ends = (first, read_segment_tail(path).newest)
    sure = (line for line in ends if line is not None and LATEST_BELIEVED not in line.public)
    walls = (line.public.get("wall") for line in sure)
    return _Segment(
        path,
        upto,
        tuple(wall for wall in walls if isinstance(wall, (int, float)) and wall >= BUILT_AFTER),
    )


def _ends(found: list[_Segment], now: float) -> list[float]:
    """When each was ended at the latest: by its own clock, which may have been ahead, and by what came after it."""
    ends: list[float] = []
    latest = now
    for each in reversed(found):
        latest = min([latest, *([max(each.walls)] if each.walls else [])])
        ends.append(latest)
    return ends[::-1]


def erase_personal_parts(
    path: Path, wanted: Callable[[ChainLine], bool], *, dry_run: bool = False
) -> Iterator[list[ChainLine]]:
    """Overwrite the personal part of some lines of a segment with spaces, whoever appends to it meanwhile; what was erased in each
    step. A part that an erasure left half done is no JSON any more, and is finished. Raises OSError."""
    try:
        fd = open_regular(path, os.O_RDONLY if dry_run else os.O_RDWR)
    except FileNotFoundError:  # removed meanwhile
        return
    with os.fdopen(fd, "r+b" if not dry_run else "rb", buffering=0) as file:
        data = file.read(SEGMENT_MAX) or b""
        done: list[ChainLine] = []
        begun = 0
        for offset, raw, ended in split_lines(data):
            line = parse_line(raw) if ended else None
            if line is not None and line.personal.strip(b" ") and wanted(line):
                if not dry_run:
                    os.pwrite(fd, b" " * len(line.personal), offset + len(raw) - len(line.personal))
                done.append(line)
            if offset - begun >= _STEP_BYTES:
                _sync(fd, dry_run, done)
                yield done
                done, begun = [], offset
        _sync(fd, dry_run, done)
        yield done


def _sync(fd: int, dry_run: bool, done: list[ChainLine]) -> None:
    if done and not dry_run:
        os.fsync(fd)
