"""Frames of the detector's measurement: chips in a drawn room, without faces, walk-ups, clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration import occluders
from calibration.surroundings import surround
from edge import masks
from edge.camera.replay import ReplayCamera
from edge.chip import REFERENCE_XY, SIZE
from edge.face.detect import FaceDetector
from edge.portraits import COLLINS, HOPPER, load_portrait
from edge.synthesis.drawing import HEIGHT, WIDTH, draw_room

Picture = NDArray[np.uint8]

FACE_PX = (60, 90, 120)
CERTAIN_SCORE = 0.7  # of a detection that is a person
_FACE_WIDTH = 0.79  # of the box of a face, in its chip
_FACE_BOX = np.array([0.15, 0.14, 0.94, 1.07])  # median of detections, in shares of the chip
_BORDER = 39  # pixels around a chip that fade into the room
_WALK_FRAMES = 24
_WALK_PX = (55, 130)  # width of the face at the begin and at the end of a walk-up
_SIGMA = 4.0  # of the sensor noise
_NOISE = np.rint(np.random.default_rng(0).normal(0, _SIGMA, (HEIGHT, WIDTH, 3))).astype(np.int16)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedFace:
    """Frame with one face at a known place; `box_xyxy` is None if it shows an unknown place."""

    image: Picture
    box_xyxy: NDArray[np.float64] | None = None  # (4,)
    landmarks_xy: NDArray[np.float64] | None = None  # (5,2)


class Room:
    """Drawn corridor into which chips are placed."""

    def __init__(self) -> None:
        self._room = np.clip(draw_room(), 0, 255).astype(np.uint8)
        side = SIZE + 2 * _BORDER
        fade = np.zeros((side, side), np.float32)
        cv2.circle(fade, (side // 2, side // 2), round(0.42 * side), 1.0, -1)
        self._fade = cv2.GaussianBlur(fade, (0, 0), 6)

    def place(
        self, chip: Picture, face_px: float, centre_xy: tuple[float, float], turn_deg: float = 0.0
    ) -> PlacedFace:
        """Place a chip (112,112,3): edge repeated and blurred, faded into the room."""
        scale = face_px / (_FACE_WIDTH * SIZE)
        half = math.ceil(scale * (_BORDER + SIZE / 2)) + 1
        left, top = (max(0, int(middle) - half) for middle in centre_xy)
        target = self._room[top : int(centre_xy[1]) + half, left : int(centre_xy[0]) + half]
        middle = _BORDER + SIZE / 2
        move = cv2.getRotationMatrix2D((middle, middle), turn_deg, scale)
        move[:, 2] += np.array(centre_xy) - middle
        local = move.copy()
        local[:, 2] -= (left, top)
        size, flags = target.shape[1::-1], cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        face = cv2.warpAffine(surround(chip, _BORDER), local, size, flags=flags)
        alpha = cv2.warpAffine(self._fade, local, size, flags=cv2.INTER_LINEAR)[..., None]
        image = self._room.copy()
        blended = target * (1 - alpha) + face * alpha
        image[top : top + size[1], left : left + size[0]] = blended.astype(np.uint8)
        points = (REFERENCE_XY.astype(float) + _BORDER) @ move[:, :2].T + move[:, 2]
        corner = np.tile(np.array(centre_xy) - scale * SIZE / 2, 2)
        return PlacedFace(image, corner + _FACE_BOX * scale * SIZE, points)

    def place_anywhere(self, chip: Picture, face_px: float, seed: int) -> PlacedFace:
        rng = np.random.default_rng((seed, round(face_px)))
        x, y = rng.uniform(face_px, WIDTH - face_px), rng.uniform(face_px, HEIGHT - face_px)
        return self.place(chip, face_px, (float(x), float(y)), float(rng.uniform(-8, 8)))


@cache
def _room() -> Room:
    return Room()


def expose(image: Picture, light: float, seed: int) -> Picture:
    """Return a frame with less light and sensor noise."""
    noise = np.roll(_NOISE, (seed * 37, seed * 101), axis=(0, 1))
    darker = cv2.convertScaleAbs(image, alpha=light)
    return np.asarray(cv2.add(darker, noise, dtype=cv2.CV_8U), np.uint8)


def low_light(image: Picture, seed: int) -> Picture:
    """Return a frame with a twelfth to a quarter of the light."""
    return expose(image, float(np.random.default_rng(seed).uniform(1 / 12, 1 / 4)), seed)


def side_light(chip: Picture, name: str) -> Picture:
    return occluders.draw_protocol(chip, "side-light", name)[0]


def recall_groups(
    bare: Sequence[tuple[str, Picture]], real: Sequence[tuple[str, Picture]]
) -> dict[str, Iterator[PlacedFace]]:
    """Return placed faces by kind."""
    room = _room()

    def place(
        chips: Sequence[tuple[str, Picture]],
        change: Callable[[Picture, str], Picture] = lambda chip, name: chip,
        *,
        dark: bool = False,
    ) -> Iterator[PlacedFace]:
        for seed, (name, chip) in enumerate(chips):
            for face_px in FACE_PX:
                placed = room.place_anywhere(change(chip, name), face_px, seed)
                image = low_light(placed.image, seed) if dark else placed.image
                yield replace(placed, image=image)

    def drawn(chip: Picture, name: str) -> Picture:
        return masks.draw_protocol(chip, name)[0]

    return {
        "bare": place(bare),
        "drawn masks": place(bare, drawn),
        "real masks": place(real),
        "bare, side light": place(bare, side_light),
        "real masks, side light": place(real, side_light),
        "bare, low light": place(bare, dark=True),
        "real masks, low light": place(real, dark=True),
    }


def faceless_groups(
    chips: Sequence[tuple[str, Picture]],
) -> dict[str, Iterator[Picture]]:
    """Return frames without faces by kind."""
    return {
        "noise": _noise_frames(40),
        "heads, the face erased": (_faceless_room(chip, i) for i, (_, chip) in enumerate(chips)),
        "portraits, the face erased": _faceless_portraits(),
    }


def _noise_frames(count: int) -> Iterator[Picture]:
    """Yield noise of different grain."""
    for i in range(count):
        rng, grain = np.random.default_rng(i), 2 ** (i % 6)
        shape = (HEIGHT // grain, WIDTH // grain, 3)
        coarse = rng.integers(0, 256, shape, dtype=np.uint8)
        yield np.asarray(
            cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8
        )


def erase_face(image: Picture, box: NDArray[np.float64]) -> Picture:
    """Return an image with a box filled from its border, without features."""
    x0, y0, x1, y1 = box.astype(int)
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    hole = np.zeros(small.shape[:2], np.uint8)
    hole[y0 // 8 : -(-y1 // 8), x0 // 8 : -(-x1 // 8)] = 1
    filled = cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), (width, height))
    alpha = cv2.GaussianBlur(cv2.resize(hole, (width, height)).astype(np.float32), (0, 0), 3)
    return np.asarray(image * (1 - alpha[..., None]) + filled * alpha[..., None], np.uint8)


def _faceless_room(chip: Picture, seed: int) -> Picture:
    """Return a head without a face in the room."""
    return _room().place_anywhere(erase_face(chip, np.array([14.0, 8, 98, 112])), 110, seed).image


def _faceless_portraits() -> Iterator[Picture]:
    """Yield both portraits without their faces, in several parts and sizes."""
    for portrait, shares in ((COLLINS, (0.2, 0.0, 0.8, 0.65)), (HOPPER, (0.2, 0.0, 0.8, 0.65))):
        image = load_portrait(portrait)
        height, width = image.shape[:2]
        erased = erase_face(image, np.array(shares) * (width, height, width, height))
        for size in (320, 480, 640, 960):
            scaled = cv2.resize(erased, (size, size * height // width))
            yield np.asarray(scaled, np.uint8)
            yield np.asarray(scaled[:, ::-1].copy(), np.uint8)
            yield np.asarray(scaled[scaled.shape[0] // 2 :], np.uint8)


def walk_up(chip: Picture, seed: int, *, dark: bool = False) -> list[PlacedFace]:
    """Return frames of a person who comes closer and sways."""
    room, frames = _room(), []
    for i in range(_WALK_FRAMES):
        share = i / (_WALK_FRAMES - 1)
        face_px = _WALK_PX[0] + share * (_WALK_PX[1] - _WALK_PX[0])
        x = WIDTH / 2 + 60 * math.sin(3 * share + seed)
        placed = room.place(chip, face_px, (x, 230 + 30 * share), 8 * math.sin(7 * share + seed))
        image = expose(placed.image, 1 / 6 if dark else 1.0, seed * 100 + i)
        frames.append(replace(placed, image=image))
    return frames


def read_clip(path: Path, every: int) -> list[Picture]:
    """Return every n-th frame of a recording, small ones enlarged to the terminal's width."""
    camera = ReplayCamera(path, paced=False)
    images = []
    while (frame := camera.read()) is not None:
        if frame.number % every == 0:
            scale = WIDTH / frame.image.shape[1]
            images.append(cv2.resize(frame.image, None, fx=scale, fy=scale))
    camera.close()
    return [np.asarray(image, np.uint8) for image in images]


def mask_clip(images: Sequence[Picture], detector: FaceDetector, name: str) -> list[PlacedFace]:
    """Return the frames of a recording with one certain face, a mask drawn on it."""
    style, frames = masks.protocol_style(name), []
    step = max(1, len(images) // _WALK_FRAMES)
    for image in images[::step][:_WALK_FRAMES]:
        certain = [face for face in detector.search(image) if face.score >= CERTAIN_SCORE]
        if len(certain) == 1:
            face = detector.refine(image, certain[0])
            worn = masks.draw(image, style, face.landmarks_xy)[0]
            frames.append(PlacedFace(worn, face.box_xyxy.astype(np.float64)))
    return frames
