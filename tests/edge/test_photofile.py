from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import pillow_heif
import pytest
from PIL import Image

from edge.errors import PhotoError
from edge.photofile import BYTES_MAX, SIDE_MAX, decode_photo, is_picture_name, read_photo

pillow_heif.register_heif_opener()  # to write them

# Runs in a process of its own, so that its peak memory is that of one decoding.
_DECODE = """
import resource, sys
from pathlib import Path
from edge.errors import PhotoError
from edge.photofile import decode_photo
encoded = Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    said = "x".join(map(str, decode_photo(encoded, "photo").shape))
except PhotoError as error:
    said = str(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >> 10, said)
"""
_HEIGHT, _WIDTH = 48, 64
_FILES = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIF")


def scene() -> Image.Image:
    """Return a picture darker at the left and the top, so that every turn is visible."""
    y, x = np.mgrid[:_HEIGHT, :_WIDTH]
    return Image.fromarray(np.stack([40 + 3 * x, 20 + 4 * y, x + y], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(decoded: np.ndarray, image: Image.Image) -> float:
    assert decoded.dtype == np.uint8 and decoded.shape == (image.height, image.width, 3)
    return float(np.abs(decoded[..., ::-1].astype(int) - np.asarray(image.convert("RGB"))).mean())


def refusal(content: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        decode_photo(content, "ada.jpg")
    assert caught.value.reason == "unreadable" and str(caught.value).startswith("ada.jpg: ")
    return str(caught.value)


@pytest.mark.parametrize("kind", _FILES)
def test_decode_every_format_same_colours(kind: str) -> None:
    assert difference(decode_photo(encoded(scene(), kind), "x"), scene()) < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_decode_pixel_modes_same_picture(kind: str, mode: str) -> None:
    image = scene().convert(mode)
    try:
        content = encoded(image, kind)
        Image.open(io.BytesIO(content)).load()
    except OSError:
        pytest.skip(f"Pillow {PIL.__version__} cannot write and read {kind} with {mode}")
    assert difference(decode_photo(content, "x"), image) < 4


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_decode_16_bits_scaled_to_8(ending: str) -> None:
    bgr = np.asarray(scene())[..., ::-1]
    for image in (bgr, cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)):
        deep = cv2.imencode(ending, image.astype(np.uint16) * 257)[1].tobytes()
        assert difference(decode_photo(deep, "x"), Image.fromarray(image[..., ::-1].copy()
            if image.ndim == 3 else image)) < 1  # fmt: skip


def test_decode_transparent_pixels_white() -> None:
    image = scene().convert("RGBA")
    image.putalpha(0)
    assert decode_photo(encoded(image, "PNG"), "x").min() == 255
    palette = scene().convert("P")
    assert decode_photo(encoded(palette, "PNG", transparency=bytes(256)), "x").min() == 255


_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_decode_exif_orientation_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = scene().transpose(_TURNED[orientation]) if orientation in _TURNED else scene()
    assert difference(decode_photo(encoded(stored, kind, exif=exif), "x"), scene()) < 3


def test_decode_heic_turned_by_boxes_once() -> None:
    """Phones write the rotation twice: the boxes turn the picture, and EXIF says the same."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = scene().transpose(Image.Transpose.ROTATE_90)
    content = encoded(Image.open(io.BytesIO(encoded(stored, "JPEG", exif=exif))), "HEIF")
    assert b"irot" in content
    assert difference(decode_photo(content, "x"), scene()) < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "HEIF", "MPO"])
def test_decode_several_pictures_takes_first(kind: str) -> None:
    other = scene().transpose(Image.Transpose.ROTATE_180)
    content = encoded(scene(), kind, save_all=True, append_images=[other, other])
    assert difference(decode_photo(content, "x"), scene()) < 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"no picture", "expected JPEG, PNG, WebP, BMP, TIFF or HEIC"),
        (encoded(scene(), "GIF"), "GIF is not read; save it as JPEG"),
        (encoded(scene(), "AVIF"), "AVIF is not read"),
        (encoded(scene(), "JPEG2000"), "JPEG 2000 is not read"),
        (encoded(scene(), "PDF"), "PDF is not read"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a video (MP4 or QuickTime) is not read"),
        (b"\0\x05\x16\x07\0\2\0\0", "metadata on macOS) is not read"),
        (b"\xff\xd8\xff\xe0broken", "JPEG file is damaged or cut off"),
        (encoded(scene(), "JPEG")[:-200], "JPEG file is damaged or cut off"),
        (encoded(scene(), "HEIF")[:-200], "HEIC file is damaged or cut off"),
        (encoded(scene(), "TIFF")[:-200], "TIFF file is damaged or cut off"),
        (encoded(scene().convert("F"), "TIFF"), "mode F is not read; save it with 8 bits"),
        (encoded(Image.new("RGB", (4000, 8)), "PNG"), "4000x8 pixels, expected 16 a side"),
        (encoded(scene(), "TIFF", tiffinfo={50706: b"\1\4\0\0"}), "raw files are not read"),
    ],
)
def test_decode_unusable_names_what_was_found(content: bytes, words: str) -> None:
    assert words in refusal(content)


def test_decode_heic_without_library_refused() -> None:
    """The decoder runs in a process without the library."""
    code = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from edge.photofile import decode_photo\n"
        "decode_photo(sys.stdin.buffer.read(), 'ada.heic')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=encoded(scene(), "HEIF"), capture_output=True
    )
    assert b"ada.heic: HEIC files need pillow_heif: " in done.stderr
    assert b"bin/pip install pillow-heif; or save it as JPEG" in done.stderr


@pytest.mark.parametrize(
    ("kind", "options", "size", "most_mib"),
    [
        ("JPEG", {}, (16384, 12288), 350),
        ("JPEG", {"progressive": True}, (9000, 5000), 500),
        ("PNG", {"compress_level": 1}, (9000, 5000), 350),
        ("HEIF", {"quality": 10, "enc_params": {"preset": "ultrafast"}}, (8200, 4000), 400),
    ],
)
def test_decode_large_photo_is_scaled_down(
    tmp_path: Path, kind: str, options: dict[str, Any], size: tuple[int, int], most_mib: int
) -> None:
    (tmp_path / "large").write_bytes(encoded(Image.new("RGB", size, (90, 60, 30)), kind, **options))
    used, said = decoding(tmp_path / "large")
    assert said == f"{size[1] // 2}x{size[0] // 2}x3" and used < most_mib


def test_decode_scaled_photo_same_picture() -> None:
    image = scene().resize((SIDE_MAX + 200, 60), Image.Resampling.BICUBIC)
    half = image.resize((image.width // 2, 30), Image.Resampling.BOX)
    for kind in ("JPEG", "PNG"):
        assert difference(decode_photo(encoded(image, kind), "x"), half) < 3


BMP = encoded(scene(), "BMP")


def claiming(width: int, height: int) -> bytes:
    photo = bytearray(encoded(scene(), "JPEG"))
    size = photo.find(b"\xff\xc0") + 5
    photo[size : size + 4] = struct.pack(">HH", height, width)
    return bytes(photo)


def one_component(content: bytes) -> bytes:
    """A JPEG with one scan per component: its decoder keeps all of them."""
    photo = bytearray(content)
    photo[photo.find(b"\xff\xda") + 4] = 1
    return bytes(photo)


@pytest.mark.parametrize(
    ("content", "megapixels"),
    [
        (claiming(60_000, 60_000), 536),
        (one_component(claiming(20_000, 20_000)), 134),
        (b"".join((BMP[:18], struct.pack("<ii", 60_000, 60_000), BMP[26:])), 134),
    ],
)
def test_decode_bomb_refused_before_decoding(
    tmp_path: Path, content: bytes, megapixels: int
) -> None:
    (tmp_path / "bomb").write_bytes(content)
    used, said = decoding(tmp_path / "bomb")
    assert f"at most {megapixels} megapixels" in said and used < 50


def test_decode_png_with_huge_chunk_bounded(tmp_path: Path) -> None:
    photo = bytearray(encoded(scene(), "PNG"))
    assert photo[37:41] == b"IDAT"
    photo[33:37] = (1 << 31).to_bytes(4, "big")
    (tmp_path / "bomb").write_bytes(photo)
    assert decoding(tmp_path / "bomb")[0] < 50


def decoding(photo: Path) -> tuple[int, str]:
    """Return the peak memory of a decoding in MiB, and its result."""
    done = subprocess.run(
        [sys.executable, "-c", _DECODE, str(photo)], capture_output=True, text=True, check=True
    )
    used, _, said = done.stdout.strip().partition(" ")
    return int(used), said


def test_read_what_is_no_file_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, words in (
        ("none.jpg", "cannot be read: No such file"),
        ("pipe.jpg", "not a regular file"),
        (".", "not a regular file|Is a directory"),
    ):
        with pytest.raises(PhotoError, match=words):
            read_photo(tmp_path / name)


def test_read_too_large_file_refused(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(BYTES_MAX + 1)
    with pytest.raises(PhotoError, match="64 MiB, expected at most 64 MiB; save it as JPEG"):
        read_photo(tmp_path / "large.jpg")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.JPG", True), ("a.heic", True), ("a.gif", True), ("._a.jpg", False), ("a.txt", False)],
)
def test_picture_name_by_ending_found(name: str, expected: bool) -> None:
    assert is_picture_name(name) is expected
