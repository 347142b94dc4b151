"""The files of a record: which there are, and what stands at their ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from edge.audit.chain import ChainLine, parse_line
from edge.system.atomic_files import open_regular

TAIL_BYTES = 1 << 17
SEGMENT_MAX = 64 << 20  # bytes; the writer begins another segment after 4 MiB
_ID_DIGITS = 18
_SUFFIX = ".log"
_BEGUN = b'{"id":'


def segment_path(folder: Path, first_id: int) -> Path:
    return folder / f"{first_id:09d}{_SUFFIX}"


def first_record_id(path: Path) -> int:
    return int(path.stem)


def list_segments(folder: Path) -> list[Path]:
    """List the segments, oldest first; empty if the folder is missing. Raises OSError.

    Files that the writer cannot have made are left out, see `invalid_segments`.
    """
    return sorted(
        (Path(entry.path) for entry in _entries(folder) if not _strange(entry)), key=first_record_id
    )


def invalid_segments(folder: Path) -> dict[str, str]:
    """Return why files named like segments are not segments, by name. Raises OSError."""
    found = {entry.name: _strange(entry) for entry in _entries(folder)}
    return {name: why for name, why in sorted(found.items()) if why}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name.endswith(_SUFFIX)]
    except FileNotFoundError:
        return []


def _strange(entry: os.DirEntry[str]) -> str:
    """Return why an entry is not a segment, empty if it may be one."""
    stem = entry.name.removesuffix(_SUFFIX)
    if not (stem.isascii() and stem.isdecimal() and len(stem) <= _ID_DIGITS):
        return "its name is not the number of a record"
    try:
        if not entry.is_file(follow_symlinks=False):
            return "it is a link, folder, FIFO, socket or device"
        size = entry.stat(follow_symlinks=False).st_size
    except OSError:  # removed meanwhile
        return ""
    return f"it has {size} bytes, a segment at most {SEGMENT_MAX}" if size > SEGMENT_MAX else ""


def split_lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Where each line begins, the line, and whether it was ended."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        yield begin, data[begin : end if end >= 0 else len(data)], end >= 0
        begin = end + 1 if end >= 0 else len(data)


def find_unacknowledged(tail: bytes, first_id: int, durable: int, *, partial: bool) -> int | None:
    """Where in the end of the newest file begins what was never acknowledged; None where all of it may have been.

    That is the first line that is no whole record and stands after `durable`, the newest record that was on disk for certain: what
    follows was not on disk either, or its writer had said that a line before it is torn. Where such a line stands before, somebody
    changed it, and it stays as it is. `partial`: the first line lacks its beginning. `first_id`: of the file.
    """
    newest, cut = first_id - 1, None
    for at, raw, ended in islice(split_lines(tail), int(partial), None):
        line = parse_line(raw) if ended else None
        if line is None or not line.is_intact:
            cut = at if cut is None and newest >= durable else cut
        else:
            newest, cut = line.id, None if "torn" in line.public else cut
    return cut


@dataclass(frozen=True, slots=True)
class SegmentTail:
    """The end of one file."""

    lines: list[bytes]  # whole ones, newest first, and one that was not ended before them
    size: int  # of the file
    torn: bool  # whether it ends in the middle of a line

    @property
    def is_unfinished(self) -> bool:
        """Whether all that is there is a record that was begun: whoever wrote it was stopped, and never acknowledged it."""
        return self.torn and len(self.lines) == 1 and self.lines[0].startswith(_BEGUN)

    @property
    def is_damaged(self) -> bool:
        """Whether something after the newest record is none, ended or not: a disk that lost its power may keep any part of it."""
        return self.torn or (bool(self.lines) and parse_line(self.lines[0]) is None)

    @property
    def newest(self) -> ChainLine | None:
        """The newest line that is a record of ours."""
        return next(
            (line for line in map(parse_line, self.lines[self.torn :]) if line is not None), None
        )


def read_segment_tail(path: Path, most: int = TAIL_BYTES) -> SegmentTail:
    """Raises OSError."""
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        start = max(0, size - most)
        data = os.pread(fd, size - start, start)
    finally:
        os.close(fd)
    lines = data.split(b"\n")
    torn = bool(lines.pop()) if not data or data.endswith(b"\n") else True
    if start:
        del lines[:1]  # the end of a line whose beginning is not here
    return SegmentTail(lines[::-1], size, torn)


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a record ends, and where it goes on."""

    last: ChainLine | None  # the newest record
    segment: Path | None  # that can be gone on with
    torn: bool  # whether something after that record is none
    free_id: int  # the least that no file can hold already


def find_log_end(folder: Path) -> LogEnd:
    """A look that changes nothing. Raises OSError."""
    paths = list_segments(folder)
    if not paths:
        return LogEnd(None, None, False, 1)
    tail = read_segment_tail(paths[-1])
    last, torn = tail.newest, tail.is_damaged
    usable = last is not None or not tail.size
    for path in reversed(paths[:-1]):
        if last is not None:
            break
        tail = read_segment_tail(path)
        last, torn = tail.newest, torn or tail.is_damaged
    free_id = max(last.id + 1 if last else 1, first_record_id(paths[-1]) + (not usable))
    return LogEnd(last, paths[-1] if usable else None, torn or not usable, free_id)
