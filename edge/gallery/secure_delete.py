"""Looking for what should be gone: in the bytes of database and write-ahead log, free pages included."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_PIECE = 16  # bytes that no two sealed rows share by chance
_STRIDE = 256  # a page boundary may cut through a row


def find_remnants(path: Path, gone: Sequence[bytes]) -> bool:
    """Whether any piece of some byte strings is in a database file or beside it; raises OSError."""
    pieces = [
        blob[at : at + _PIECE]
        for blob in gone
        for at in range(0, max(1, len(blob) - _PIECE + 1), _STRIDE)
    ]
    return any(content.find(piece) >= 0 for content in _contents(path) for piece in pieces)


def sync_files(path: Path) -> None:
    """That database and write-ahead log are on disk as they are, and that what was removed beside them is gone after a lost power
    too; raises OSError."""
    for place in (*_files(path), path.parent):
        if place.exists():
            opened = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


def find_dirty_free_pages(path: Path) -> list[str]:
    """What is in pages that belong to nothing, and should be zeros; the format is https://www.sqlite.org/fileformat2.html 1.5."""
    found = []
    for content in _contents(path):
        if content[:16] == b"SQLite format 3\x00":
            size = int.from_bytes(content[16:18], "big")
            size = 65536 if size == 1 else size
            found += [
                f"page {page} is free, and not empty"
                for page in _leaves(content, size)
                if any(_page(content, page, size))
            ]
    return found


def _leaves(content: mmap.mmap, size: int) -> Iterator[int]:
    """The free pages that trunk pages name; at most as many as the file has pages."""
    trunk, left = int.from_bytes(content[32:36], "big"), len(content) // size
    while trunk and left > 0:
        page = _page(content, trunk, size)
        count = min(int.from_bytes(page[4:8], "big"), (size - 8) // 4)
        for i in range(count):
            yield int.from_bytes(page[8 + 4 * i : 12 + 4 * i], "big")
        trunk, left = int.from_bytes(page[:4], "big"), left - 1 - count


def _page(content: mmap.mmap, number: int, size: int) -> bytes:
    return content[(number - 1) * size : number * size]


def _contents(path: Path) -> Iterator[mmap.mmap]:
    """Of database, write-ahead log and journal, one after the other."""
    for file in _files(path):
        if file.exists() and file.stat().st_size:
            with (
                file.open("rb") as opened,
                mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                yield content


def _files(path: Path) -> tuple[Path, ...]:
    """Database, write-ahead log and journal."""
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")
