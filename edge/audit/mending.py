"""Taking back what a stop, or a lost power, left of a record that was never acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

from edge.audit.chain import Line, commit_of, parse
from edge.audit.segments import TAIL_BYTES, first_id_of, lines_of, segments


def mend(folder: Path, durable: int) -> None:
    """Cut the newest file off at the first line that is no whole record, and stands after `durable`, the newest record that was on
    disk for certain: what follows was not on disk either, or its writer had said that a line before it is torn. Where such a line
    stands before, somebody changed it, and it stays as it is. Raises OSError."""
    paths = segments(folder)
    if not paths:
        return
    fd = os.open(paths[-1], os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(fd).st_size
        start = max(0, size - TAIL_BYTES)
        newest, cut = first_id_of(paths[-1]) - 1, None
        for at, raw, ended in list(lines_of(os.pread(fd, size - start, start)))[bool(start) :]:
            line = parse(raw) if ended else None
            if line is None or not _is_whole(line):
                cut = start + at if cut is None and newest >= durable else cut
            else:
                newest, cut = line.id, None if "torn" in line.public else cut
        if cut is not None:
            os.ftruncate(fd, cut)
            os.fsync(fd)
    finally:
        os.close(fd)


def _is_whole(line: Line) -> bool:
    """Whether its personal part is as it was committed to, erased, or was being erased."""
    personal = line.personal
    if personal.startswith(b" ") or personal.endswith(b" ") or not personal:
        return True
    return line.public.get("commit") == commit_of(personal)
