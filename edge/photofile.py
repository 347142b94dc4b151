"""Photo files of common formats, read and decoded within fixed bounds of memory.

The format is taken from the first bytes, never from the file's name, and only the decoder of that
format runs.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePath
from typing import BinaryIO, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from edge.errors import PhotoError
from edge.system.leftovers import is_leftover
from edge.system.packages import install_command

Pixels: TypeAlias = NDArray[np.uint8]  # (H,W,3) BGR

ENDINGS = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".hif",
)  # fmt: skip
# Pictures of formats that are refused with a message, not ignored.
_REFUSED_ENDINGS = (".gif", ".avif", ".jp2", ".jxl", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw")
FORMATS = "JPEG, PNG, WebP, BMP, TIFF or HEIC"
BYTES_MAX = 64 << 20
SIDE_MIN, SIDE_MAX = 16, 8192  # smaller is refused, larger is scaled down
# Pixels of a file whose decoder holds all of them at full size: about 1 GiB at most.
_FULL_PIXELS_MAX, _WEBP_PIXELS_MAX = 1 << 27, 1 << 26
_SCALED_PIXELS_MAX = 1 << 29  # pixels of a file whose decoder scales down while it reads
_STRIP_PIXELS = 1 << 20  # converted at once
_ORIENTATION = 0x0112  # EXIF and TIFF

_GREY16 = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")


def _unreadable(message: str) -> PhotoError:
    return PhotoError("unreadable", message)


def is_picture_name(name: str) -> bool:
    """Return True for a picture's file name by its ending, also of formats that are refused."""
    ending = PurePath(name).suffix.lower()
    return ending in (*ENDINGS, *_REFUSED_ENDINGS) and not is_leftover(name)


def open_photo(path: Path) -> BinaryIO:
    """Open a photo to read it later; raises PhotoError `unreadable`, also for a folder or pipe."""
    try:
        # Non-blocking: opening a FIFO would wait for its other end.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise _unreadable(f"{path}: not a regular file; name a photo")
        return os.fdopen(fd, "rb")
    except OSError as error:
        raise _unreadable(f"{path}: cannot be read: {error.strerror}") from error


def read_photo(path: Path) -> bytes:
    """Read a photo's bytes; raises PhotoError `unreadable`, also if it is not a regular file."""
    return read_opened(open_photo(path), str(path))


def read_opened(file: BinaryIO, name: str) -> bytes:
    """Read and close a photo that was opened; raises PhotoError `unreadable`."""
    try:
        with file:
            encoded = file.read(BYTES_MAX + 1)
            check_bytes(max(len(encoded), os.fstat(file.fileno()).st_size), name)
    except OSError as error:
        raise _unreadable(f"{name}: cannot be read: {error.strerror}") from error
    return encoded


def check_bytes(size: int, name: str) -> None:
    """Raise PhotoError `unreadable` for a file that is too large to be read."""
    if size > BYTES_MAX:
        raise _unreadable(
            f"{name}: {size / (1 << 20):.0f} MiB, expected at most {BYTES_MAX >> 20} MiB; "
            "save it as JPEG",
        )


def decode_photo(encoded: bytes, name: str) -> Pixels:
    """Decode a photo, upright by its EXIF orientation, at most SIDE_MAX pixels a side.

    Of several pictures in a file the first one counts. Raises PhotoError `unreadable`.
    """
    kind = _kind_of(encoded, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about unused metadata
            with _OPENERS[kind](BytesIO(encoded)) as picture:
                step = _scale(picture, kind, name, encoded)
                picture.load()
                _check_mode(picture, kind, name)
                turn = _orientation(picture, encoded)
                pixels = _pixels(picture, step)
    except PhotoError:
        raise
    except ImportError as error:
        raise _unreadable(
            f"{name}: {kind} files need {error.name}: {install_command('pillow-heif')}; or save it "
            "as JPEG",
        ) from error
    except MemoryError as error:
        raise _unreadable(f"{name}: not enough memory to decode it; save it smaller") from error
    except Exception as error:  # a damaged file can make its decoder raise anything
        raise _unreadable(
            f"{name}: the {kind} file is damaged or cut off ({error}); copy it again"
        ) from error
    return turn(pixels)


def _open_heif(file: BytesIO) -> ImageFile:
    from pillow_heif import HeifImageFile  # large, and not installed everywhere

    opener: Callable[[BytesIO], ImageFile] = HeifImageFile  # untyped where it is installed
    return opener(file)


_OPENERS: dict[str, Callable[[BytesIO], ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "HEIC": _open_heif,
}

_MAGIC: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes, format; the first match counts
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WebP"),
    (8, b"CR", "Canon raw"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF8", "GIF"),
    (4, b"jP  ", "JPEG 2000"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"\x00\x05\x16\x07", "AppleDouble (a file's metadata on macOS)"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!DOCTYPE", "HTML"),
    (0, b"<html", "HTML"),
    (0, b"BM", "BMP"),
)
_HEIC_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_HEIC_TURNED = (b"\0\0\0\x09irot", b"\0\0\0\x09imir")
_RAW_TAGS = frozenset((50706, 37399))  # DNGVersion; a maker's own tag in raw files


def _kind_of(encoded: bytes, name: str) -> str:
    """Return the format by the first bytes; raises PhotoError if it is not supported."""
    kind = _brand_of(encoded) if encoded[4:8] == b"ftyp" else _magic_of(encoded)
    if kind in _OPENERS:
        return kind
    if kind:
        found = f"{kind} is not read; save it as JPEG or PNG"
    elif not encoded:
        found = "the file is empty; copy it again"
    else:
        found = f"not a picture in a known format; expected {FORMATS}"
    raise _unreadable(f"{name}: {found}")


def _magic_of(encoded: bytes) -> str:
    return next(
        (kind for at, magic, kind in _MAGIC if encoded.startswith(magic, at)),
        "",
    )


def _brand_of(encoded: bytes) -> str:
    """Return the format of an ISO base media file."""
    size = min(int.from_bytes(encoded[:4], "big"), 256)
    brands = {encoded[8:12]} | {encoded[at : at + 4] for at in range(16, size, 4)}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & _HEIC_BRANDS:
        return "HEIC"
    return "Canon raw" if b"crx " in brands else "a video (MP4 or QuickTime)"


def _scale(picture: ImageFile, kind: str, name: str, encoded: bytes) -> int:
    """Return the divisor of the decoded picture's size; a JPEG decoder scales down itself.

    Raises PhotoError for an unsupported size, before anything is decoded.
    """
    width, height = picture.size
    longest = max(width, height)
    in_decoder = kind == "JPEG" and longest > SIDE_MAX and _is_one_scan(encoded)
    most = _WEBP_PIXELS_MAX if kind == "WebP" else _FULL_PIXELS_MAX
    most = _SCALED_PIXELS_MAX if in_decoder else most
    if min(width, height) < SIDE_MIN:
        raise _unreadable(f"{name}: {width}x{height} pixels, expected {SIDE_MIN} a side at least")
    if width * height > most:
        raise _unreadable(
            f"{name}: {width}x{height} pixels, expected at most {most // 10**6} megapixels "
            f"for this kind of {kind}; save it smaller, as JPEG",
        )
    if in_decoder:
        part = next(n for n in (2, 4, 8) if -(-longest // n) <= SIDE_MAX)
        picture.draft(None, (width // part, height // part))
        longest = max(picture.size)
    return -(-longest // SIDE_MAX)


def _is_one_scan(encoded: bytes) -> bool:
    """Return True if a JPEG's first scan has all components: else its decoder keeps all pixels."""
    at, components = 2, 0
    while at + 9 < len(encoded):
        marker = encoded[at + 1]
        if encoded[at] != 0xFF or marker == 0xFF:
            at += 1
            continue
        if marker in (0xC0, 0xC1):  # sequential
            components = encoded[at + 9]
        elif marker == 0xDA:
            return components > 0 and encoded[at + 4] == components
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return False


def _check_mode(picture: ImageFile, kind: str, name: str) -> None:
    """Raise PhotoError for pixels that cannot be converted, and for a raw file's small preview."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and _RAW_TAGS & set(picture.tag_v2):
        raise _unreadable(f"{name}: raw files are not read; save it as JPEG")
    if picture.mode not in (*_COLOUR, *_GREY16):
        raise _unreadable(
            f"{name}: {kind} with pixels of mode {picture.mode} is not read; "
            "save it with 8 bits a channel, as JPEG or PNG",
        )


def _pixels(picture: Image.Image, step: int) -> Pixels:
    """Convert a decoded picture in strips, so that little more than the result is in memory."""
    width, height = picture.width // step, picture.height // step
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // (picture.width * step))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        strip = _bgr(picture.crop((0, top * step, width * step, bottom * step)))
        if step > 1:
            size = (width, bottom - top)
            strip = np.asarray(cv2.resize(strip, size, interpolation=cv2.INTER_AREA), np.uint8)
        pixels[top:bottom] = strip
    return pixels


def _bgr(strip: Image.Image) -> Pixels:
    if strip.mode in _GREY16:
        grey = np.asarray(strip) >> 8
        return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    if strip.has_transparency_data:  # on white, as viewers show it
        above = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return np.ascontiguousarray(np.asarray(strip.convert("RGB"), np.uint8)[..., ::-1])


def _orientation(picture: ImageFile, encoded: bytes) -> Callable[[Pixels], Pixels]:
    """Return the function that turns a decoded picture upright. The TIFF decoder does it itself."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata is no reason to refuse the picture
        value = 1
    # The HEIC decoder applies its own boxes and removes the EXIF value; without boxes EXIF counts.
    if picture.format == "HEIF" and not any(box in encoded for box in _HEIC_TURNED):
        value = picture.info.get("original_orientation") or 1
    return _TURNS.get(value, _as_it_is)


def _as_it_is(pixels: Pixels) -> Pixels:
    return pixels


def _turn(turns: int, *, mirror: bool = False) -> Callable[[Pixels], Pixels]:
    def apply(pixels: Pixels) -> Pixels:
        mirrored = pixels[:, ::-1] if mirror else pixels
        return np.ascontiguousarray(np.rot90(mirrored, turns))

    return apply


# By EXIF orientation: quarter turns counter-clockwise, after mirroring left and right.
_TURNS = {
    2: _turn(0, mirror=True),
    3: _turn(2),
    4: _turn(2, mirror=True),
    5: _turn(1, mirror=True),
    6: _turn(3),
    7: _turn(3, mirror=True),
    8: _turn(1),
}
