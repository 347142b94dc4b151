"""Taking back what a stop, or a lost power, left of a record that was never acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

from edge.audit.chain import Line, commit_of, parse
from edge.audit.segments import TAIL_BYTES, first_id_of, lines_of, segments


def mend(folder: Path, durable: int) -> None:
    """Cut off whatever stands after the newest whole record of the newest file, unless a record up to `durable`, which was on disk
    for certain, is not among the whole ones: then somebody changed it, and it stays as it is. Raises OSError."""
    paths = segments(folder)
    if not paths:
        return
    fd = os.open(paths[-1], os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(fd).st_size
        start = max(0, size - TAIL_BYTES)
        newest, keep = first_id_of(paths[-1]) - 1, 0
        for at, raw, ended in lines_of(os.pread(fd, size - start, start)):
            line = parse(raw) if ended else None
            if line is not None and _is_whole(line):
                newest, keep = line.id, start + at + len(raw) + 1
        if keep < size and newest >= durable and (keep or not start):
            os.ftruncate(fd, keep)
            os.fsync(fd)
    finally:
        os.close(fd)


def _is_whole(line: Line) -> bool:
    """Whether its personal part is as it was committed to, erased, or was being erased."""
    personal = line.personal
    if personal.startswith(b" ") or personal.endswith(b" ") or not personal:
        return True
    return line.public.get("commit") == commit_of(personal)
