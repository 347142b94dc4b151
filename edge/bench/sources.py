"""Where a benchmark's frames come from: the config's camera or clip, or frames drawn with a number of faces."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.camera import Camera, open_camera
from edge.camera.replay import own_pace
from edge.config.recognition import FOLDER_FPS, CameraConfig, CsiCameraConfig, ReplayCameraConfig
from edge.errors import CameraError
from edge.portraits import COLLINS, load_portrait
from edge.values import Frame

Image = NDArray[np.uint8]  # (H,W,3) BGR
DRAWN_FPS = 15.0
_MEMORY_BYTES = 256 << 20
_DRAWN_FRAMES = 60  # after which drawn frames begin again


@dataclass(frozen=True, slots=True)
class Source:
    """Frames that can be had again: as a camera gives them, or at once."""

    name: str
    fps: float  # nominal; 15 where the camera says nothing
    recorded: bool  # whether it ends, unless it is looped
    live: bool  # whether it is never the same again
    paced: Callable[[bool], Camera]  # argument: whether a recording begins again at its end
    at_once: Callable[[], Camera]  # without waiting


def source_of(config: CameraConfig) -> Source:
    """The config's camera."""
    if isinstance(config, ReplayCameraConfig):
        fps = config.fps or own_pace(config.path) or FOLDER_FPS
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


def drawn(faces: int) -> Source:
    """Frames with so many faces, without end; raises PhotoError where the portrait is not installed."""
    images = crowd(faces, _DRAWN_FRAMES)
    return Source(
        f"drawn, {faces} face{'s' * (faces != 1)}, {DRAWN_FPS:g} frames a second",
        DRAWN_FPS,
        False,
        False,
        lambda _: MemoryCamera(images, DRAWN_FPS),
        lambda: MemoryCamera(images, None),
    )


class MemoryCamera:
    """Images again and again, at a pace or as fast as they are taken."""

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


def frames(source: Source, most: int) -> Iterator[Image]:
    """Up to so many pictures of a source, without waiting; raises CameraError where it has none."""
    camera = source.at_once()
    number = 0
    try:
        while number < most and (frame := camera.read()) is not None:
            number += 1
            yield frame.image
    finally:
        camera.close()
    if not number:
        raise CameraError("no frames to measure with; check `camera.path`")


def kept(source: Source, most: int) -> list[Image]:
    """Up to so many pictures in memory, of which they take no more than 256 MiB; raises CameraError where there are none."""
    images: list[Image] = []
    known: dict[int, int] = {}  # bytes by picture: drawn ones are the same again and again
    for image in frames(source, most):
        known[id(image)] = image.nbytes
        if images and sum(known.values()) > _MEMORY_BYTES:
            break
        images.append(image)
    return images


def digest_of(images: Sequence[Image]) -> str:
    """Of what is to be seen, short."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.tobytes())
    return digest.hexdigest()[:12]


def crowd(faces: int, count: int) -> list[Image]:
    """Frames (480,640,3) with up to six faces, drawn from a public-domain portrait, that move a little and have noise on them.

    Raises PhotoError where the portrait is not installed.
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
