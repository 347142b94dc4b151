"""The model of a disk: what a power cut may leave, and what it may not."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from tests.durability.disk import (
    SECTOR,
    Disk,
    File,
    Folder,
    Loss,
    Named,
    Renamed,
    Resized,
    Unnamed,
    Written,
)

_CHANGES = st.lists(
    st.builds(Written, st.integers(0, 3000), st.binary(min_size=1, max_size=1500))
    | st.builds(Resized, st.integers(0, 4000)),
    max_size=8,
)


def made(changes: list[Written | Resized], start: bytes = b"") -> File:
    file = File(start, [], bytearray(start))
    for change in changes:
        file.do(change)
    return file


@given(_CHANGES, st.sampled_from(Loss), st.integers())
def test_power_cut_keeps_synced_writes(
    changes: list[Written | Resized], loss: Loss, seed: int
) -> None:
    file = made(changes)
    file.sync()
    assert file.image(loss, random.Random(seed)) == bytes(file.now)


@given(_CHANGES, _CHANGES, st.sampled_from(Loss), st.integers())
def test_power_cut_sector_is_old_or_new(
    before: list[Written | Resized], changes: list[Written | Resized], loss: Loss, seed: int
) -> None:
    """The content is an earlier one, or zeros if the file grew; the size is an earlier one."""
    start = bytes(made(before).now)
    moments = [bytes(made(changes[:count], start).now) for count in range(len(changes) + 1)]
    file = made(changes, start)
    image = file.image(loss, random.Random(seed))
    assert len(image) in {len(moment) for moment in moments}
    for at in range(0, len(image), SECTOR):
        sector = image[at : at + SECTOR]
        possible = {moment[at : at + SECTOR].ljust(SECTOR, b"\0") for moment in [*moments, b""]}
        assert any(one[: len(sector)] == sector for one in possible) or _is_cut(sector, possible)


def _is_cut(sector: bytes, possible: set[bytes]) -> bool:
    """The end of a file that was cut within a sector, and grew again."""
    return any(
        sector == one[:size].ljust(len(sector), b"\0")
        for one in possible
        for size in range(len(sector))
    )


def test_sector_write_includes_earlier_ones() -> None:
    file = made([Written(0, b"first"), Written(5, b"second")])
    images = {file.image(Loss.WRITES, random.Random(seed)) for seed in range(200)}
    assert bytes(5) + b"second" not in images and b"firstsecond" in images and b"" in images


def test_sector_writes_are_reordered() -> None:
    file = made([Written(0, b"a" * SECTOR), Written(SECTOR, b"b" * SECTOR)])
    images = {file.image(Loss.WRITES, random.Random(seed)) for seed in range(200)}
    assert {
        bytes(SECTOR) + b"b" * SECTOR,
        b"a" * SECTOR + bytes(SECTOR),
        b"a" * SECTOR,
        b"",
    } <= images


def test_names_survive_after_folder_sync(tmp_path: Path) -> None:
    disk, rng, root = Disk(tmp_path), random.Random(0), PurePosixPath()
    file = made([Written(0, b"content")])
    disk.name(Named(root / "fresh", file))
    file.sync()
    assert disk.image(Loss.ALL, rng) == {} and not disk.is_synced
    disk.sync_folder(root)
    assert disk.image(Loss.ALL, rng) == {root / "fresh": b"content"} and disk.is_synced
    disk.name(Renamed(root / "fresh", root / "name"))
    assert disk.image(Loss.ALL, rng) == {root / "fresh": b"content"}
    assert disk.image(Loss.NONE, rng) == {root / "name": b"content"}
    disk.sync_folder(root)
    disk.name(Unnamed(root / "name"))
    assert (
        disk.image(Loss.ALL, rng) == {root / "name": b"content"}
        and disk.image(Loss.NONE, rng) == {}
    )


def test_folder_lost_with_its_files(tmp_path: Path) -> None:
    disk, root = Disk(tmp_path), PurePosixPath()
    disk.name(Named(root / "folder", Folder()))
    disk.name(Named(root / "folder" / "file", made([])))
    disk.sync_folder(root / "folder")
    assert disk.image(Loss.ALL, random.Random(0)) == {}
    disk.sync_folder(root)
    assert disk.image(Loss.ALL, random.Random(0)) == {
        root / "folder": None,
        root / "folder" / "file": b"",
    }
