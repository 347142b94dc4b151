"""Fuzz targets that decode pictures: enrollment photos and recordings, from synthetic images."""

from __future__ import annotations

import contextlib
import io
import itertools
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.camera.replay import ReplayCamera
from edge.errors import CameraError, PhotoError
from edge.photofile import decode_photo
from tests.fuzz.source import Source, corrupted
from tests.fuzz.target import Run, Target, expect

_FRAMES_MAX = 8


def _scene(height: int, width: int) -> NDArray[np.uint8]:
    """Draw smooth colours and a disc, which compress like a photo."""
    y, x = np.mgrid[:height, :width]
    image = np.stack(
        [x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + y) % 256], axis=-1
    ).astype(np.uint8)
    cv2.circle(image, (width // 2, height // 2), min(height, width) // 3, (120, 160, 200), -1)
    return image


def _encodings() -> list[bytes]:
    image = _scene(40, 32)
    found = [
        cv2.imencode(suffix, image, options)[1].tobytes()
        for suffix, options in (
            (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 80]),
            (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 40]),
            (".png", []),
            (".bmp", []),
            (".webp", []),
            (".tiff", []),
            (".ppm", []),
        )
    ]
    grey, alpha = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    found += [
        cv2.imencode(".png", grey.astype(np.uint16) * 257)[1].tobytes(),
        cv2.imencode(".png", alpha)[1].tobytes(),
    ]
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    Image.fromarray(image).save(turned, "JPEG", exif=exif)
    return [*found, turned.getvalue()]


def _gif() -> bytes:
    pictures = [Image.fromarray(np.roll(_scene(24, 24), n, axis=1)) for n in range(3)]
    written = io.BytesIO()
    pictures[0].save(written, "GIF", save_all=True, append_images=pictures[1:], duration=40)
    return written.getvalue()


def _changed(source: Source, encodings: list[bytes]) -> bytes:
    return corrupted(source.choose(encodings), source) if source.number(2) else source.rest()


def _open_photo(folder: Path, at_end: ExitStack) -> Run:
    encodings = _encodings()

    def run(data: bytes) -> None:
        with contextlib.suppress(PhotoError):
            image = decode_photo(_changed(Source(data), encodings), "photo.jpg")
            expect(
                image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8,
                f"a picture of {image.shape} {image.dtype}",
            )
            expect(min(image.shape) > 0 and max(image.shape) <= 8192, f"a picture of {image.shape}")

    return run


def _open_recording(folder: Path, at_end: ExitStack) -> Run:
    """A GIF, or a folder with one picture in it."""
    clip, picture, encodings = folder / "clip.gif", folder / "clip" / "1.png", _encodings()
    gifs = [_gif()]
    picture.parent.mkdir()

    def run(data: bytes) -> None:
        source = Source(data)
        path, encoded = (clip, gifs) if source.number(2) else (picture, encodings)
        path.write_bytes(_changed(source, encoded))
        with contextlib.suppress(CameraError):
            camera = ReplayCamera(clip if path is clip else picture.parent, fps=15, paced=False)
            for frame in itertools.islice(iter(camera.read, None), _FRAMES_MAX):
                expect(
                    frame.image.ndim == 3 and frame.image.dtype == np.uint8,
                    f"a frame of {frame.image.shape}",
                )
            camera.close()

    return run


def _seeds(encodings: list[bytes]) -> list[bytes]:
    return [
        *(b"\0" + encoded for encoded in encodings),
        *(bytes([1, n, 2, n, 3, 5 * n, 1, 9]) for n in range(12)),
    ]


TARGETS = (
    Target(
        "photo",
        "`decode_photo`: JPEG, PNG, WebP, BMP, TIFF, HEIC, and formats that it refuses",
        _open_photo,
        lambda: _seeds(_encodings()),
    ),
    Target(
        "recording",
        "GIF files and folders of pictures in place of a camera",
        _open_recording,
        lambda: (
            [b"\1" + seed for seed in _seeds([_gif()])]
            + [b"\0" + seed for seed in _seeds(_encodings())]
        ),
    ),
)
