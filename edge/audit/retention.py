"""Retention: remove old segments, erase personal parts without breaking the chain."""

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

_STEP_BYTES = 1 << 18  # of a segment that one step reads and syncs

Append = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits in days."""

    delete_after_days: float = 365
    redact_after_days: float = 90


@dataclass(frozen=True, slots=True)
class _SegmentAge:
    path: Path
    upto: int  # its last record, by the name of the next segment
    wall_times_s: tuple[float, ...]  # of its first and newest record, if their clock was trusted


def maintenance_steps(
    folder: Path,
    limits: Retention,
    now: float,
    doubt: ClockDoubt | None,
    blanked: int,
    append: Append,
) -> Iterator[None]:
    """Apply the limits in steps of some milliseconds; the newest segment stays. Raises OSError.

    `append` records the work: a removal before it happens, so that no gap is unexplained after a
    stop; the end of blanking afterwards, so that it is repeated after a stop.
    """
    ages: list[_SegmentAge] = []
    paths = list_segments(folder)
    for path, following in zip(paths, [*paths[1:], None], strict=True):
        ages.append(_read_age(path, first_record_id(following) - 1 if following else 0))
        yield
    ended = list(zip(ages, _latest_ends(ages, now), strict=True))[:-1]
    delete_before = now - limits.delete_after_days * DAY_S
    redact_before = now - limits.redact_after_days * DAY_S
    to_delete = [age for age, end in ended if end < delete_before]
    to_redact = [
        age
        for age, end in ended
        if end < redact_before and age not in to_delete and age.upto > blanked
    ]
    if not to_delete and not to_redact:
        return
    if doubt is not None:
        append(_fields(RetentionReason.CLOCK_UNTRUSTED, doubt=doubt.value))
        return
    if to_delete:
        append(_fields(RetentionReason.REMOVED, upto=to_delete[-1].upto))
    for age in to_delete:
        age.path.unlink(missing_ok=True)
        sync_folder(folder)
        yield
    for age in to_redact:
        for _ in erase_personal_parts(age.path, lambda _: True):
            yield
    if to_redact:
        append(_fields(RetentionReason.BLANKED, upto=to_redact[-1].upto))


def _fields(reason: RetentionReason, **more: Any) -> dict[str, Any]:
    return {"kind": RecordKind.RETENTION, "reason": reason, **more}


def _read_age(path: Path, upto: int) -> _SegmentAge:
    fd = open_regular(path)
    try:
        first = parse_line(os.pread(fd, _STEP_BYTES, 0).partition(b"\n")[0])
    finally:
        os.close(fd)
    ends = (first, read_segment_tail(path).newest)
    trusted = (line for line in ends if line is not None and LATEST_BELIEVED not in line.public)
    walls = (line.public.get("wall") for line in trusted)
    is_time = (wall for wall in walls if isinstance(wall, (int, float)) and wall >= BUILT_AFTER)
    return _SegmentAge(path, upto, tuple(is_time))


def _latest_ends(ages: list[_SegmentAge], now: float) -> list[float]:
    """Return the latest time at which each segment can have ended.

    The clock of a segment may have been ahead: it ended before the segments after it.
    """
    ends: list[float] = []
    latest = now
    for age in reversed(ages):
        latest = min([latest, *([max(age.wall_times_s)] if age.wall_times_s else [])])
        ends.append(latest)
    return ends[::-1]


def erase_personal_parts(
    path: Path, is_wanted: Callable[[ChainLine], bool], *, dry_run: bool = False
) -> Iterator[list[ChainLine]]:
    """Overwrite the personal part of lines with spaces; yield the lines of each step.

    The writer may append during the erasure. A part whose erasure did not finish is no JSON; it is
    erased again. Raises OSError.
    """
    try:
        fd = open_regular(path, os.O_RDONLY if dry_run else os.O_RDWR)
    except FileNotFoundError:  # removed by the writer
        return
    with os.fdopen(fd, "r+b" if not dry_run else "rb", buffering=0) as file:
        data = file.read(SEGMENT_MAX) or b""
        erased: list[ChainLine] = []
        begun = 0
        for offset, raw, ended in split_lines(data):
            line = parse_line(raw) if ended else None
            if line is not None and line.personal.strip(b" ") and is_wanted(line):
                length = len(line.personal)
                if not dry_run:
                    os.pwrite(fd, b" " * length, offset + len(raw) - length)
                erased.append(line)
            if offset - begun >= _STEP_BYTES:
                _sync(fd, dry_run, erased)
                yield erased
                erased, begun = [], offset
        _sync(fd, dry_run, erased)
        yield erased


def _sync(fd: int, dry_run: bool, erased: list[ChainLine]) -> None:
    if erased and not dry_run:
        os.fsync(fd)
