"""Recorded frames in place of a camera: a folder of pictures, a GIF, or a video."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.errors import CameraError
from edge.system.leftovers import is_leftover
from edge.values import Frame

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
_SIDE_MAX = 8192


class ReplayCamera:
    """Frames at `fps` by the clock as a camera would give them, or as fast as they are read where not `paced`."""

    def __init__(
        self,
        path: Path,
        *,
        fps: float,
        loop: bool = False,
        paced: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._interval = 1 / fps
        self._loop = loop
        self._paced = paced
        self._clock = clock
        self._sleep = sleep
        self._images = _open_recording(path)
        self._number = 0
        self._next_at = clock()

    def read(self) -> Frame | None:
        image = next(self._images, None)
        if image is None and self._loop and self._number:
            self._images = _open_recording(self._path)
            image = next(self._images, None)
        if image is None:
            if not self._number:
                raise CameraError(
                    f"{self._path}: no frame in it can be read; name a folder of pictures, a GIF or a video"
                )
            return None
        if self._paced:
            self._sleep(max(0.0, self._next_at - self._clock()))
            self._next_at = max(self._next_at + self._interval, self._clock())
        frame = Frame(image, self._clock(), self._number)
        self._number += 1
        return frame

    def close(self) -> None:
        self._images = iter(())
        self._loop = False


def own_pace(path: Path) -> float | None:
    """Frames per second that a GIF or video says of itself; None for a folder, and where it says nothing."""
    if not path.is_file():
        return None
    capture = cv2.VideoCapture(str(path))
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return fps if 1 <= fps <= 240 else None


def _open_recording(path: Path) -> Iterator[NDArray[np.uint8]]:
    if path.is_dir():
        pictures = sorted(
            (
                p
                for p in path.iterdir()
                if p.suffix.lower() in _PICTURES and not is_leftover(p.name)
            ),
            key=_natural_order,
        )
        if not pictures:
            raise CameraError(
                f"{path}: no pictures in this folder; expected {', '.join(_PICTURES)}"
            )
        return _pictures(pictures)
    if not path.is_file():
        raise CameraError(f"{path}: no such recording; check `camera.path`")
    if path.suffix.lower() in _PICTURES:  # OpenCV takes a name with digits for a series
        return _pictures([path])
    return _gif(path) if path.suffix.lower() == ".gif" else _video(path)


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which frame2 comes before frame10; equal numbers go by the name itself."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", path.name)
    return [(int(digits or -1), text.lower()) for digits, text in parts], path.name


def _pictures(paths: list[Path]) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        try:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise CameraError(
                f"{path}: the picture is too large or damaged ({error.err}); take it out"
            ) from error
        if image is not None:
            yield np.asarray(image, dtype=np.uint8)


def _gif(path: Path) -> Iterator[NDArray[np.uint8]]:
    try:
        from PIL import Image, ImageSequence
    except ImportError as error:
        raise CameraError(
            f"{path}: GIF files need Pillow; install it with: pip install pillow"
        ) from error
    try:
        with Image.open(path) as animation:
            if max(animation.size) > _SIDE_MAX:
                raise CameraError(
                    f"{path}: {max(animation.size)} pixels is more than the {_SIDE_MAX} a side may have"
                )
            for picture in ImageSequence.Iterator(animation):
                yield np.ascontiguousarray(
                    np.asarray(picture.convert("RGB"), dtype=np.uint8)[..., ::-1]
                )
    except CameraError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise CameraError(f"{path}: not a GIF that can be read: {error}") from error


def _video(path: Path) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            done, image = capture.read()
            if not done:
                return
            yield np.asarray(image, dtype=np.uint8)
    finally:
        capture.release()
