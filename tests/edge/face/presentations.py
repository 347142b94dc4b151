"""Drawn presentations of a portrait: held, moved, living, on a device. No detection rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np

from edge.chip import align
from edge.face.liveness import LivenessFrame
from edge.face.quality import estimate_pose
from edge.portraits import Portrait, load_portrait
from edge.values import Face

SIZE = (320, 240)  # of a frame, width and height
NOISE = 2.0  # grey levels

Image = np.ndarray
Warp = Callable[[float], Image]  # of time: from the picture (H,W) to the frame, (3,3)


class Picture:
    """Portrait with a face of a width; `opaque` is the mask of the pixels that hide the wall."""

    def __init__(self, portrait: Portrait, face_px: float = 70.0) -> None:
        eyes = np.array(portrait.landmarks_xy[:2])
        scale = face_px / (2.05 * np.linalg.norm(eyes[1] - eyes[0]))
        original = load_portrait(portrait)
        self.image: Image = cv2.resize(
            original, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        self.landmarks_xy: Image = np.array(portrait.landmarks_xy) * scale
        self.middle_xy: Image = self.landmarks_xy.mean(axis=0)
        self.face_px = face_px
        self.opaque: Image = np.ones(self.image.shape[:2], np.float32)

    def crop(self, border: int, colour: int) -> Picture:
        """Crop the face with a border, as on paper or a screen."""
        half = np.array([1.0, 1.15]) * self.face_px
        x0, y0 = np.maximum(self.middle_xy - half, 0).astype(int)
        x1, y1 = (self.middle_xy + half).astype(int)
        self.image = cv2.copyMakeBorder(
            self.image[y0:y1, x0:x1], *[border] * 4, cv2.BORDER_CONSTANT, value=[colour] * 3
        )
        self.landmarks_xy, self.middle_xy = (
            xy - (x0, y0) + border for xy in (self.landmarks_xy, self.middle_xy)
        )
        self.opaque = np.ones(self.image.shape[:2], np.float32)
        return self


def moved(picture: Picture, reach: float, at_xy: tuple[float, float] = (160, 115)) -> Warp:
    """Move like a flat object in a hand: shift, rotation, distance, tilt. `reach`: 0 to 1."""

    def warp(t: float) -> Image:
        s = [reach * np.sin(2 * np.pi * (0.35 + 0.13 * k) * t + 2.1 * k) for k in range(6)]
        turn = np.eye(3)
        turn[:2] = cv2.getRotationMatrix2D((0, 0), 4 * s[0], 1 + 0.05 * s[1])
        tilt = np.array([[1, 0, 0], [0, 1, 0], [4e-4 * s[2], 3e-4 * s[3], 1]])
        there, back = np.eye(3), np.eye(3)
        back[:2, 2] = -picture.middle_xy
        there[:2, 2] = np.array(at_xy) + 0.12 * picture.face_px * np.array(s[4:6])
        return there @ turn @ tilt @ back

    return warp


def alive(image: Image, landmarks_xy: Image, t: float) -> Image:
    """Draw a blink of a quarter of a second every 1.2 s, and lips that move."""
    height, width = image.shape[:2]
    x, y, blink, lips, nose = _motions(height, width, tuple(map(tuple, landmarks_xy)))
    down = 3.0 * (t % 1.2 < 0.25) * blink + np.sin(5 * t) * lips + np.sin(2 * t) * nose
    return cv2.remap(image, x, y + down.astype(np.float32), cv2.INTER_LINEAR)


@cache
def _motions(
    height: int, width: int, points: tuple[tuple[float, float], ...]
) -> tuple[Image, Image, Image, Image, Image]:
    """Return the pixels' places, and how far lids, lips and nose move them down."""
    left, right, nose, *mouth = np.array(points, np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    apart, lips = float(np.linalg.norm(right - left)), (mouth[0] + mouth[1]) / 2

    def near(point: Image, reach: float) -> Image:
        return np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * (reach * apart) ** 2))

    blink = near(left, 0.12) * (y - left[1]) + near(right, 0.12) * (y - right[1])
    return x, y, blink, 0.08 * apart * near(lips, 0.25), 0.02 * apart * near(nose, 0.3)


def show(
    picture: Picture,
    warp: Warp,
    seconds: float,
    *,
    fps: float = 15.0,
    begin: float = 0.0,
    living: bool = False,
    size: tuple[int, int] = SIZE,
    touch: Callable[[Image], Image] = lambda frame: frame,
) -> Iterator[LivenessFrame]:
    """Render frames of an image before a plain wall; `touch` changes each before the noise."""
    rng = np.random.default_rng(int(begin * 1000))
    wall = np.full((size[1], size[0], 3), 140, np.float32)
    for i in range(round(seconds * fps)):
        t = begin + i / fps
        matrix = warp(t)
        drawn = alive(picture.image, picture.landmarks_xy, t) if living else picture.image
        opaque = cv2.warpPerspective(picture.opaque, matrix, size)[..., None]
        frame = wall + (cv2.warpPerspective(drawn, matrix, size) - wall) * opaque
        yield look_at(
            noisy(touch(frame), rng),
            cv2.perspectiveTransform(picture.landmarks_xy[None], matrix)[0],
            t,
            rng,
        )


def noisy(frame: Image, rng: np.random.Generator) -> Image:
    return np.clip(frame + rng.normal(0, NOISE, frame.shape), 0, 255).astype(np.uint8)


def look_at(
    image: Image, landmarks_xy: Image, at: float, rng: np.random.Generator
) -> LivenessFrame:
    """Return the face as a detector finds it, with jitter of points and box."""
    points = (landmarks_xy + rng.normal(0, 0.4, (5, 2))).astype(np.float32)
    x, y = points.mean(axis=0)
    width = 2.05 * float(np.linalg.norm(landmarks_xy[1] - landmarks_xy[0]))
    box = np.array([x - width / 2, y - 0.65 * width, x + width / 2, y + 0.65 * width], np.float32)
    return LivenessFrame(
        at, image, Face(box, points, 0.9), align(image, points), estimate_pose(points)
    )
