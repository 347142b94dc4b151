"""Frames of a benchmark: the configured camera or clip, or drawn frames with a number of faces."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.camera import Camera, open_camera
from edge.camera.replay import native_fps
from edge.config.recognition import FOLDER_FPS, CameraConfig, CsiCameraConfig, ReplayCameraConfig
from edge.errors import CameraError
from edge.portraits import COLLINS, load_portrait
from edge.values import Frame

Image = NDArray[np.uint8]  # (H,W,3) BGR
DRAWN_FPS = 15.0
_MEMORY_BYTES = 256 << 20
_DRAWN_FRAMES = 60  # length of the loop of drawn frames


@dataclass(frozen=True, slots=True)
class Source:
    """Repeatable source of frames, at the camera's pace or without pacing."""

    name: str
    fps: float  # nominal; 15 if unknown
    recorded: bool  # it ends unless it is looped
    live: bool  # it is not repeatable
    paced: Callable[[bool], Camera]  # argument: loop a recording
    unpaced: Callable[[], Camera]  # without pacing


def build_source(config: CameraConfig) -> Source:
    """Return the configured camera."""
    if isinstance(config, ReplayCameraConfig):
        fps = config.fps or native_fps(config.path) or FOLDER_FPS
        return Source(
            f"clip {config.path.name}, {fps:g} frames a second",
            fps,
            True,
            False,
            lambda loop: open_camera(config.model_copy(update={"loop": loop, "lockstep": False})),
            lambda: open_camera(config.model_copy(update={"loop": False, "lockstep": True})),
        )
    number = config.sensor_id if isinstance(config, CsiCameraConfig) else config.source
    named = f"camera {number}" if isinstance(number, int) else "camera stream"  # no address
    return Source(
        named, DRAWN_FPS, False, True, lambda _: open_camera(config), lambda: open_camera(config)
    )


def drawn_source(faces: int) -> Source:
    """Return endless frames with `faces` faces.

    Raises PhotoError if the portrait is not installed.
    """
    images = draw_crowd(faces, _DRAWN_FRAMES)
    return Source(
        f"drawn, {faces} face{'s' * (faces != 1)}, {DRAWN_FPS:g} frames a second",
        DRAWN_FPS,
        False,
        False,
        lambda _: MemoryCamera(images, DRAWN_FPS),
        lambda: MemoryCamera(images, None),
    )


class MemoryCamera:
    """Images in a loop, with or without pacing."""

    def __init__(
        self,
        images: Sequence[Image],
        fps: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._images, self._interval = images, 1 / fps if fps else 0.0
        self._clock, self._sleep = clock, sleep
        self._number = 0
        self._next_at = clock()

    def read(self) -> Frame | None:
        self._sleep(max(0.0, self._next_at - self._clock()))
        self._next_at = max(self._next_at + self._interval, self._clock())
        frame = Frame(self._images[self._number % len(self._images)], self._clock(), self._number)
        self._number += 1
        return frame

    def close(self) -> None:
        pass


def read_frames(source: Source, max_frames: int) -> Iterator[Image]:
    """Return up to `count` pictures without pacing; raises CameraError if there are none."""
    camera = source.unpaced()
    number = 0
    try:
        while number < max_frames and (frame := camera.read()) is not None:
            number += 1
            yield frame.image
    finally:
        camera.close()
    if not number:
        raise CameraError("no frames to measure with; check `camera.path`")


def load_frames(source: Source, max_frames: int) -> list[Image]:
    """Return pictures in memory, at most 256 MiB; raises CameraError if there are none."""
    images: list[Image] = []
    known: dict[int, int] = {}  # bytes by picture: drawn ones are repeated
    for image in read_frames(source, max_frames):
        known[id(image)] = image.nbytes
        if images and sum(known.values()) > _MEMORY_BYTES:
            break
        images.append(image)
    return images


def digest_images(images: Sequence[Image]) -> str:
    """Return a short digest of the pictures."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.tobytes())
    return digest.hexdigest()[:12]


def draw_crowd(faces: int, count: int) -> list[Image]:
    """Frames (480,640,3) with up to six moving faces of a public-domain portrait, and noise.

    Raises PhotoError if the portrait is not installed.
    """
    portrait = load_portrait(COLLINS)[40:240, 120:320]
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        frame = np.full((480, 640, 3), 120.0)
        for i in range(faces):
            x, y = 8 + 210 * (i % 3) + number % 5, 20 + 225 * (i // 3) + number % 3
            frame[y : y + 200, x : x + 200] = portrait
        made.append(np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8))
    return made
