"""Photos as people keep them: found in folders and tar files, read with the care that files of strangers need."""

from __future__ import annotations

import os
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.errors import ConfigError, PhotoError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_PHOTO_BYTES_MAX = 64 << 20  # this and the longest side as edge.gallery.enrollment.photos has them
_SIDE_MIN, _SIDE_MAX = 16, 8192  # a thinner picture would vanish when it is scaled to the detector
_NAME_BYTES_MAX = 200

Image.init()  # its formats now: it would load them at the first photo, and Python takes Ctrl-C in that for uncaught


@dataclass(frozen=True, slots=True, order=True)
class Photo:
    """One photo, where its bytes are, and the name that its chip gets."""

    chip: str  # <identity>/<image>.jpg
    name: str  # <identity>/[folders/]<image> as found
    file: str
    offset: int
    size: int  # or one of the two below


_WHOLE_FILE, _NOT_PLAIN = -1, -2


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in PHOTOS."""

    photos: list[Photo]  # in the order of their chips' names
    strays: list[str]  # photos in no person's folder
    others: Counter[str]  # other files by their ending


def find_photos(source: Path) -> Found:
    """All photos of a folder or tar file; raises ConfigError where a part of it cannot be listed."""
    photos: list[Photo] = []
    strays: list[str] = []
    others: Counter[str] = Counter()
    taken: set[str] = set()
    for name, file, offset, size in sorted(
        _in_tar(source) if source.is_file() else _in_folder(source)
    ):
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
    return Found(sorted(photos), strays, others)


def _chip_name(parts: list[str], taken: set[str]) -> str:
    """A name of its own; folders go behind the image's, whose beginning tells a real mask (`calibration.chips`)."""
    stem = "-".join([PurePosixPath(parts[-1]).stem, *parts[1:-1]])
    if len(os.fsencode(stem)) > _NAME_BYTES_MAX:
        stem = os.fsencode(stem)[:_NAME_BYTES_MAX].decode("utf-8", "ignore")
    name, number = f"{parts[0]}/{stem}.jpg", 1
    while name in taken:
        number += 1
        name = f"{parts[0]}/{stem}-{number}.jpg"
    taken.add(name)
    return name


def _in_folder(root: Path) -> Iterator[tuple[str, str, int, int]]:
    def fail(error: OSError) -> None:
        raise ConfigError(
            f"{error.filename}: cannot be listed ({error.strerror}); expected a folder or .tar file of photos"
        ) from error

    for where, folders, files in os.walk(root, onerror=fail, followlinks=True):
        here = Path(where)
        for link in (here / name for name in folders if (here / name).is_symlink()):
            if link.resolve() in {above.resolve() for above in (here, *here.parents)}:
                raise ConfigError(
                    f"{link}: expected a folder of photos, found a link to a folder above it; remove the link"
                )
        for file in (here / name for name in files):
            yield file.relative_to(root).as_posix(), str(file), 0, _WHOLE_FILE


def _in_tar(source: Path) -> Iterator[tuple[str, str, int, int]]:
    """Where the members' contents lie, so that workers read them there; links are not followed."""
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
            if file.read(tarfile.BLOCKSIZE) != bytes(
                tarfile.BLOCKSIZE
            ):  # tarfile takes damage for the end
                raise ConfigError(
                    f"{source}: damaged or cut off at byte {ends_at:,}; copy it again"
                )
    except (tarfile.TarError, OSError) as error:
        raise ConfigError(
            f"{source}: expected an uncompressed .tar file or a folder of photos: {error}"
        ) from error


def read_photo(photo: Photo) -> NDArray[np.uint8]:
    """The picture (H,W,3) uint8 BGR, turned as its EXIF says; raises PhotoError `unreadable`.

    As `edge.gallery.enrollment.photos.read_photo`, but the size is known before anything is decoded: a photo here may come from
    anybody.
    """
    encoded = _read_bytes(photo)
    width, height = declared_size(encoded)
    if not (min(width, height) >= _SIDE_MIN and max(width, height) <= _SIDE_MAX):
        raise PhotoError(
            "unreadable", f"{width}x{height} pixels; expected sides of {_SIDE_MIN} to {_SIDE_MAX}"
        )
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PhotoError("unreadable", f"damaged: {error.err}") from error
    if image is None:
        raise PhotoError("unreadable", "damaged or cut off")
    return np.asarray(image, dtype=np.uint8)


def _read_bytes(photo: Photo) -> bytes:
    path = Path(photo.file)
    try:
        if photo.size == _NOT_PLAIN or not path.is_file():
            raise PhotoError("unreadable", "no plain file, or a link that is not followed")
        size = path.stat().st_size if photo.size == _WHOLE_FILE else photo.size
        if size > _PHOTO_BYTES_MAX:
            raise PhotoError(
                "unreadable",
                f"{size >> 20} MiB; at most {_PHOTO_BYTES_MAX >> 20} MiB are expected of a photo",
            )
        with path.open("rb") as file:
            file.seek(photo.offset)
            return file.read(size)
    except OSError as error:
        raise PhotoError("unreadable", f"cannot be read: {error.strerror}") from error


def declared_size(encoded: bytes) -> tuple[int, int]:
    """Width and height as the header says; raises PhotoError `unreadable`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(encoded), formats=("JPEG", "PNG", "WEBP", "BMP")) as picture:
                return picture.size
    except Image.DecompressionBombError:
        raise PhotoError(
            "unreadable",
            f"far more pixels than the {_SIDE_MAX}x{_SIDE_MAX} that are expected at most",
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotoError(
            "unreadable", "not JPEG, PNG, WebP or BMP, or cut off within its header"
        ) from error
