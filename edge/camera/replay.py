"""Recorded frames in place of a camera: a folder of pictures, a GIF, or a video."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.config.recognition import FOLDER_FPS
from edge.errors import CameraError
from edge.system.leftovers import is_leftover
from edge.system.packages import install_command
from edge.values import Frame

log = logging.getLogger(__name__)

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp")
_SIDE_MAX = 8192
_GIF_MS = 100  # duration of a GIF's frame that has none, as in browsers
_PAUSE_MAX_S = 60.0  # a longer pause between two frames of a file counts as damage

# Seconds since the start of the recording, None if the file has no times; (H,W,3) BGR.
Step = tuple[float | None, NDArray[np.uint8]]


class ReplayCamera:
    """Recording as a camera: `paced` gives frames by the clock, else as fast as they are read.

    Frames come at `fps`, or at the recording's own times if that is None.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float | None = None,
        loop: bool = False,
        paced: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises CameraError if not even the first frame can be read."""
        self._path = path
        self._fps = fps
        self._interval_s = 1 / (fps or native_fps(path) or FOLDER_FPS)
        self._loop = loop
        self._paced = paced
        self._clock = clock
        self._sleep = sleep
        self._number = 0
        self._steps = self._open()
        self._next_at = clock()
        self._shown_s: float | None = None  # recording time of the previous frame

    def read(self) -> Frame | None:
        step = next(self._steps, None)
        if step is None and self._loop:
            self._steps, self._shown_s = self._open(), None
            step = next(self._steps, None)
        if step is None:
            return None
        shown_s, image = step
        if self._paced and self._number:
            self._next_at = max(self._next_at + self._pause_s(shown_s), self._clock())
            self._sleep(max(0.0, self._next_at - self._clock()))
        self._shown_s = shown_s
        frame = Frame(image, self._clock(), self._number)
        self._number += 1
        return frame

    def close(self) -> None:
        self._steps = iter(())
        self._loop = False

    def _open(self) -> Iterator[Step]:
        steps = _open_recording(self._path)
        first = next(steps, None)
        if first is None:
            raise CameraError(
                f"{self._path}: no frame can be read; name a folder of pictures, a GIF or a video"
            )
        return self._until_damage(first, steps)

    def _until_damage(self, first: Step, rest: Iterator[Step]) -> Iterator[Step]:
        """Yield steps up to the end of the recording, or to the point where it is damaged."""
        yield first
        try:
            yield from rest
        except CameraError as error:
            log.warning("the recording ends where it is damaged: %s", error)

    def _pause_s(self, shown_s: float | None) -> float:
        """Return the seconds from the previous frame to this one."""
        if self._fps is None and shown_s is not None and self._shown_s is not None:
            pause_s = shown_s - self._shown_s
            if 0 < pause_s <= _PAUSE_MAX_S:
                return pause_s
        return self._interval_s


def native_fps(path: Path) -> float | None:
    """Return a GIF's or video's frames per second; None for a folder or without a rate."""
    if not path.is_file() or path.suffix.lower() in _PICTURES:
        return None
    capture = cv2.VideoCapture(str(path))
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return fps if 1 <= fps <= 240 else None


def _open_recording(path: Path) -> Iterator[Step]:
    if not path.is_dir():
        if not path.is_file():
            raise CameraError(f"{path}: no such recording; check `camera.path`")
        if path.suffix.lower() in _PICTURES:  # OpenCV takes a name with digits for a series
            return _pictures([path])
        return _gif(path) if path.suffix.lower() == ".gif" else _video(path)
    try:
        files = sorted(path.iterdir(), key=_natural_order)
    except OSError as error:
        raise CameraError(
            f"{path}: the folder cannot be read: {error.strerror or error}; check its rights"
        ) from error
    pictures = [
        file for file in files if file.suffix.lower() in _PICTURES and not is_leftover(file.name)
    ]
    if not pictures:
        raise CameraError(f"{path}: no pictures in this folder; expected {', '.join(_PICTURES)}")
    return _pictures(pictures)


def _natural_order(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which frame2 comes before frame10; equal numbers go by the name itself."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", path.name)
    return [(int(digits or -1), text.lower()) for digits, text in parts], path.name


def _pictures(paths: list[Path]) -> Iterator[Step]:
    for path in paths:
        try:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        except cv2.error as error:
            raise CameraError(
                f"{path}: the picture is too large or damaged ({error.err}); take it out"
            ) from error
        if image is None:
            log.warning("%s: not a picture that can be read; left out", path)
            continue
        yield None, np.asarray(image, dtype=np.uint8)


def _gif(path: Path) -> Iterator[Step]:
    try:
        from PIL import Image, ImageSequence
    except ImportError as error:
        raise CameraError(
            f"{path}: GIF files need Pillow; install it with: {install_command('pillow')}"
        ) from error
    try:
        with Image.open(path) as animation:
            if max(animation.size) > _SIDE_MAX:
                raise CameraError(
                    f"{path}: a side of {max(animation.size)} pixels, expected at most {_SIDE_MAX}"
                )
            shown_ms = 0.0
            for picture in ImageSequence.Iterator(animation):
                rgb = np.asarray(picture.convert("RGB"), dtype=np.uint8)
                yield shown_ms / 1000, np.ascontiguousarray(rgb[..., ::-1])
                shown_ms += picture.info.get("duration") or _GIF_MS
    except CameraError:
        raise
    except Exception as error:  # whatever a damaged file makes its reader raise
        raise CameraError(f"{path}: not a GIF that can be read: {error}") from error


def _video(path: Path) -> Iterator[Step]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            done, image = capture.read()
            if not done:
                return
            shown_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield shown_s, np.asarray(image, dtype=np.uint8)
    finally:
        capture.release()
