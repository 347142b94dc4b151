"""Find and read photos in folders and tar files of untrusted origin."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from calibration.chips import chip_name
from edge import photofile
from edge.errors import ConfigError, PhotoError
from edge.names import check_spellings
from edge.photofile import ENDINGS, decode_photo
from edge.system.leftovers import is_leftover

_NAME_BYTES_MAX = 200


@dataclass(frozen=True, slots=True, order=True)
class Photo:
    """Location of a photo and the name of its chip."""

    chip: str  # <identity>/<image>.jpg
    name: str  # <identity>/[folders/]<image> as found
    file: str
    offset: int
    size: int  # or one of the two below


_WHOLE_FILE, _NOT_PLAIN = -1, -2


@dataclass(frozen=True, slots=True)
class FoundPhotos:
    """Files in the folder or tar file PHOTOS."""

    photos: list[Photo]  # in the order of their chips' names
    strays: list[str]  # photos outside of identity folders
    others: Counter[str]  # other files by file extension


def find_photos(source: Path) -> FoundPhotos:
    """Find all photos of a folder or tar file; raises ConfigError if it cannot be listed."""
    photos: list[Photo] = []
    strays: list[str] = []
    others: Counter[str] = Counter()
    taken: set[str] = set()
    for name, file, offset, size in sorted(
        _in_tar(source) if source.is_file() else _in_folder(source)
    ):
        if is_leftover(name):
            others["of the operating system"] += 1
            continue
        ending = PurePosixPath(name).suffix.lower()
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ending not in ENDINGS:
            others[ending or "without ending"] += 1
        elif len(parts) < 2 or ".." in parts or "\0" in name:
            strays.append(name)
        else:
            photos.append(Photo(_chip_name(parts, taken), name, file, offset, size))
    if not photos and not strays:
        raise ConfigError(
            f"{source}: expected photos as <identity>/<image> ({', '.join(ENDINGS)}), found none"
        )
    _check_layout(source, photos)
    check_spellings(source, {photo.chip.split("/")[0]: None for photo in photos})
    return FoundPhotos(sorted(photos), strays, others)


def _check_layout(source: Path, photos: list[Photo]) -> None:
    """Raise ConfigError if one folder contains all identity folders: it would be one person."""
    parts = [[part for part in photo.name.split("/") if part not in ("", ".")] for photo in photos]
    inner = {names[1] for names in parts if len(names) > 2}
    if len(inner) > 1 and len({names[0] for names in parts}) == 1 and min(map(len, parts)) > 2:
        raise ConfigError(
            f"{source}: all photos are in the one folder {parts[0][0]!r}, which would be one "
            "person; name the folder that holds the people's folders, or pack it by: "
            "tar cf FILE -C FOLDER ."
        )


def _chip_name(parts: list[str], taken: set[str]) -> str:
    """Return a unique chip name: image name, then inner folders; its prefix marks a real mask."""
    stem = "-".join([PurePosixPath(parts[-1]).stem, *parts[1:-1]])
    if len(os.fsencode(stem)) > _NAME_BYTES_MAX:
        stem = os.fsencode(stem)[:_NAME_BYTES_MAX].decode("utf-8", "ignore")
    name, number = f"{parts[0]}/{stem}.jpg", 1
    while chip_name(name) in taken:
        number += 1
        name = f"{parts[0]}/{stem}-{number}.jpg"
    taken.add(chip_name(name))
    return name


def _in_folder(root: Path) -> Iterator[tuple[str, str, int, int]]:
    def fail(error: OSError) -> None:
        raise ConfigError(
            f"{error.filename}: cannot be listed ({error.strerror}); "
            "expected a folder or .tar file of photos"
        ) from error

    for where, folders, files in os.walk(root, onerror=fail, followlinks=True):
        here = Path(where)
        for link in (here / name for name in folders if (here / name).is_symlink()):
            if link.resolve() in {above.resolve() for above in (here, *here.parents)}:
                raise ConfigError(
                    f"{link}: expected a folder of photos, found a link to a folder above it; "
                    "remove the link"
                )
        for file in (here / name for name in files):
            yield file.relative_to(root).as_posix(), str(file), 0, _WHOLE_FILE


def _in_tar(source: Path) -> Iterator[tuple[str, str, int, int]]:
    """Yield the offsets of the members' contents for workers; links are not followed."""
    try:
        with tarfile.open(source, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # else every member is kept
                if not member.isdir():
                    plain = member.isreg() and not member.issparse() and member.size >= 0
                    yield (
                        member.name,
                        str(source),
                        member.offset_data,
                        member.size if plain else _NOT_PLAIN,
                    )
            ends_at = tar.offset
        with source.open("rb") as file:
            file.seek(ends_at)
            # tarfile treats a damaged header as the end of the archive.
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise ConfigError(
                    f"{source}: damaged or cut off at byte {ends_at:,}; copy it again"
                )
    except (tarfile.TarError, OSError) as error:
        raise ConfigError(
            f"{source}: expected an uncompressed .tar file or a folder of photos: {error}"
        ) from error


def read_photo(photo: Photo) -> NDArray[np.uint8]:
    """Decode a photo to (H,W,3) uint8 BGR as enrollment does; raises PhotoError `unreadable`."""
    return decode_photo(_read_bytes(photo), photo.name)


def _read_bytes(photo: Photo) -> bytes:
    if photo.size == _NOT_PLAIN:
        raise PhotoError(
            "unreadable", f"{photo.name}: not a regular file, or a link that is not followed"
        )
    if photo.size == _WHOLE_FILE:
        return photofile.read_photo(Path(photo.file))
    photofile.check_bytes(photo.size, photo.name)
    try:
        with Path(photo.file).open("rb") as file:
            file.seek(photo.offset)
            return file.read(photo.size)
    except OSError as error:
        raise PhotoError("unreadable", f"{photo.name}: cannot be read: {error.strerror}") from error
