"""Segments of an audit log: their files and their ends."""

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
    """Return the file of a segment, named by the id of its first record."""
    return folder / f"{first_id:09d}{_SUFFIX}"


def first_record_id(path: Path) -> int:
    """Return the id in a segment's name."""
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
    except OSError:  # removed by the writer
        return ""
    return f"it has {size} bytes, a segment at most {SEGMENT_MAX}" if size > SEGMENT_MAX else ""


def split_lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield offset and content of each line, and True if it has its newline."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        yield begin, data[begin : end if end >= 0 else len(data)], end >= 0
        begin = end + 1 if end >= 0 else len(data)


def find_unacknowledged(tail: bytes, first_id: int, durable: int, *, partial: bool) -> int | None:
    """Return the offset of the unacknowledged lines at the end of the newest segment, or None.

    They begin with the first invalid line after `durable`, the newest record that was certainly on
    disk: later lines were not on disk either, or a later record states that a line is torn. An
    invalid line before `durable` was changed afterwards and stays. `partial`: the first line lacks
    its beginning. `first_id`: of the segment.
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
    """End of one segment."""

    lines: list[bytes]  # newest first; an unfinished line comes first
    size: int  # bytes of the file
    torn: bool  # the file ends in the middle of a line

    @property
    def is_unfinished(self) -> bool:
        """True if the file has only the beginning of a record, which was never acknowledged."""
        return self.torn and len(self.lines) == 1 and self.lines[0].startswith(_BEGUN)

    @property
    def is_damaged(self) -> bool:
        """True if there is something invalid after the newest record, such as after a power cut."""
        return self.torn or (bool(self.lines) and parse_line(self.lines[0]) is None)

    @property
    def newest(self) -> ChainLine | None:
        """Newest line that is a record."""
        return next(
            (line for line in map(parse_line, self.lines[self.torn :]) if line is not None), None
        )


def read_segment_tail(path: Path, most: int = TAIL_BYTES) -> SegmentTail:
    """Read the end of a segment, at most `most` bytes. Raises OSError."""
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
        del lines[:1]  # the end of a line that begins before
    return SegmentTail(lines[::-1], size, torn)


@dataclass(frozen=True, slots=True)
class LogEnd:
    """End of a log, and the point from which it continues."""

    last: ChainLine | None  # the newest record
    segment: Path | None  # that can be continued
    torn: bool  # there is something invalid after the newest record
    free_id: int  # the lowest id that no segment can contain


def find_log_end(folder: Path) -> LogEnd:
    """Find the end of a log without changing it. Raises OSError."""
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
