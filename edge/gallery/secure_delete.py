"""Search for remnants of deleted rows in database, write-ahead log and free pages."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_PIECE = 16  # bytes that no two sealed rows share by chance
_STRIDE = 256  # a page boundary may cut through a row


def find_remnants(path: Path, deleted: Sequence[bytes]) -> bool:
    """Return True if a piece of deleted rows is in a file of the database. Raises OSError."""
    pieces = [
        blob[at : at + _PIECE]
        for blob in deleted
        for at in range(0, max(1, len(blob) - _PIECE + 1), _STRIDE)
    ]
    return any(content.find(piece) >= 0 for content in _contents(path) for piece in pieces)


def sync_files(path: Path) -> None:
    """Flush the database's files and their folder to disk, deletions included. Raises OSError."""
    for target in (*_files(path), path.parent):
        if target.exists():
            opened = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


def find_dirty_free_pages(path: Path) -> list[str]:
    """Return a finding for each free page that is not zero.

    Format: https://www.sqlite.org/fileformat2.html 1.5.
    """
    found = []
    for content in _contents(path):
        if content[:16] == b"SQLite format 3\x00":
            size = int.from_bytes(content[16:18], "big")
            size = 65536 if size == 1 else size
            found += [
                f"page {page} is free and not empty"
                for page in _leaves(content, size)
                if any(_page(content, page, size))
            ]
    return found


def _leaves(content: mmap.mmap, size: int) -> Iterator[int]:
    """Yield the free pages that trunk pages list; at most as many as the file has pages."""
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
    """Yield the content of database, write-ahead log and journal."""
    for file in _files(path):
        if file.exists() and file.stat().st_size:
            with (
                file.open("rb") as opened,
                mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
            ):
                yield content


def _files(path: Path) -> tuple[Path, ...]:
    """Return the paths of database, write-ahead log and journal."""
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")
