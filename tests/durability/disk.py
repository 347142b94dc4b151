"""Disk model that loses unsynced data: files, names, and images after a power cut.

Unsynced data may reach the disk early, late or never. A sector of 512 bytes is the smallest unit
that is written completely; it holds the page cache of one moment since the last sync. Names become
durable only by a sync of their folder. Size changes of one file happen in order, as in every file
system with a journal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath

SECTOR = 512


class Loss(str, Enum):
    """Fate of writes that were not synced."""

    NONE = "none"  # as after kill -9
    ALL = "all"
    WRITES = "writes"  # each write completely or not at all, in any order
    SECTORS = "sectors"  # each sector of each write
    LAST = "last"  # the last write is torn, all earlier ones are complete


@dataclass(frozen=True, slots=True)
class Written:
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resized:
    size: int


@dataclass(eq=False)
class File:
    """Content at the last sync, and the changes since."""

    durable: bytes = b""
    since: list[Written | Resized] = field(default_factory=list)
    now: bytearray = field(default_factory=bytearray)

    def do(self, change: Written | Resized) -> None:
        self.since.append(change)
        _apply(self.now, change)

    def sync(self) -> None:
        if self.since:
            self.durable, self.since = bytes(self.now), []

    def image(self, loss: Loss, rng: random.Random) -> bytes:
        if not self.since or loss is Loss.ALL:
            return self.durable
        if loss is Loss.NONE:
            return bytes(self.now)
        return _image(
            self.durable, self.since, _kept(self.since, loss, rng), _moment(self.since, loss, rng)
        )


class Folder:
    """A folder among the names."""


Node = File | Folder


@dataclass(frozen=True, slots=True)
class Named:
    path: PurePosixPath
    node: Node


@dataclass(frozen=True, slots=True)
class Unnamed:
    path: PurePosixPath


@dataclass(frozen=True, slots=True)
class Renamed:
    old: PurePosixPath
    path: PurePosixPath


Naming = Named | Unnamed | Renamed


class Disk:
    """Starts from a folder, all of which is durable. Paths are relative to it."""

    def __init__(self, start: Path) -> None:
        self.names: dict[PurePosixPath, Node] = {}
        for path in sorted(start.rglob("*")):
            name = PurePosixPath(path.relative_to(start).as_posix())
            content = b"" if path.is_dir() else path.read_bytes()
            self.names[name] = Folder() if path.is_dir() else File(content, [], bytearray(content))
        self._durable = dict(self.names)
        self._since: list[Naming] = []

    def name(self, naming: Naming) -> None:
        self._since.append(naming)
        _rename(self.names, naming)

    def sync_folder(self, folder: PurePosixPath) -> None:
        for naming in self._since:
            if naming.path.parent == folder:
                _rename(self._durable, naming)
        self._since = [naming for naming in self._since if naming.path.parent != folder]

    def sync_all(self) -> None:
        self._durable, self._since = dict(self.names), []
        for node in self.names.values():
            if isinstance(node, File):
                node.sync()

    @property
    def is_synced(self) -> bool:
        """Return True if a power cut loses nothing."""
        return not self._since and all(
            not node.since for node in self._durable.values() if isinstance(node, File)
        )

    def image(self, loss: Loss, rng: random.Random) -> dict[PurePosixPath, bytes | None]:
        """Return content by path, None for a folder."""
        names = dict(self._durable)
        for naming in self._chosen(loss, rng):
            _rename(names, naming)
        return {
            path: node.image(loss, rng) if isinstance(node, File) else None
            for path, node in sorted(names.items())
            if all(isinstance(names.get(above), Folder) for above in list(path.parents)[:-1])
        }

    def _chosen(self, loss: Loss, rng: random.Random) -> Iterator[Naming]:
        """Return the renames that survive: all, none, the first N of a journal, or any."""
        if loss is Loss.ALL:
            return
        journal = rng.randrange(len(self._since) + 1) if rng.random() < 0.5 else None
        share = rng.random()
        for i, naming in enumerate(self._since):
            if loss is Loss.NONE or (i < journal if journal is not None else rng.random() < share):
                yield naming


def write(image: Mapping[PurePosixPath, bytes | None], folder: Path) -> None:
    """Write an image as files, for the real code to open."""
    for path, content in image.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
            (folder / path).chmod(0o600)


def _rename(names: dict[PurePosixPath, Node], naming: Naming) -> None:
    if isinstance(naming, Named):
        names[naming.path] = naming.node
    elif isinstance(naming, Unnamed):
        names.pop(naming.path, None)
    elif naming.old in names:
        names[naming.path] = names.pop(naming.old)


def _apply(content: bytearray, change: Written | Resized) -> None:
    if isinstance(change, Resized):
        _resize(content, change.size)
        return
    if len(content) < change.at:
        _resize(content, change.at)
    content[change.at : change.at + len(change.data)] = change.data


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _sectors(change: Written) -> range:
    return range(change.at // SECTOR, (change.at + len(change.data) - 1) // SECTOR + 1)


def _kept(changes: Sequence[Written | Resized], loss: Loss, rng: random.Random) -> dict[int, int]:
    """Return the last change of each sector, which includes earlier ones in the page cache."""
    share = rng.choice((0.1, 0.5, 0.9))
    last = max((i for i, change in enumerate(changes) if isinstance(change, Written)), default=-1)
    kept: dict[int, int] = {}
    for i, change in enumerate(changes):
        if isinstance(change, Resized) or not change.data:
            continue
        is_write_kept = rng.random() < share
        for sector in _sectors(change):
            if loss is Loss.LAST:
                is_kept = i < last or rng.random() < share
            else:
                is_kept = is_write_kept if loss is Loss.WRITES else rng.random() < share
            if is_kept:
                kept[sector] = i
    return kept


def _moment(changes: Sequence[Written | Resized], loss: Loss, rng: random.Random) -> int:
    """Return the number of changes that have affected the size of the file."""
    return (
        len(changes) if loss is Loss.LAST or rng.random() < 0.5 else rng.randrange(len(changes) + 1)
    )


def _image(
    durable: bytes, changes: Sequence[Written | Resized], kept: Mapping[int, int], moment: int
) -> bytes:
    content, size = bytearray(durable), len(durable)
    in_place = None  # later sectors belong to blocks that the file does not have yet
    for i, change in enumerate(changes):
        if isinstance(change, Resized):
            if i < moment:
                _resize(content, change.size)
                size = change.size
            else:
                in_place = change.size if in_place is None else min(in_place, change.size)
            continue
        if i < moment:
            size = max(size, change.at + len(change.data))
        for sector in _sectors(change) if change.data else ():
            if kept.get(sector, -1) < i or (
                in_place is not None and (sector + 1) * SECTOR > in_place
            ):
                continue
            begin, end = (
                max(change.at, sector * SECTOR),
                min(change.at + len(change.data), (sector + 1) * SECTOR),
            )
            _apply(content, Written(begin, change.data[begin - change.at : end - change.at]))
    _resize(content, size)
    return bytes(content)
