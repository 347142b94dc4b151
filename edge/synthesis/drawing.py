"""Drawing of people before a camera: scale, motion, light, blur and noise, reproducible."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import masks
from edge.errors import EngineError
from edge.face.detect import FaceDetector
from edge.portraits import COLLINS, HOPPER, load_portrait
from edge.values import Face

WIDTH, HEIGHT = 640, 480
FPS = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """Portrait with its face and an opacity per pixel."""

    image: NDArray[np.uint8]
    face: Face
    person: str = ""
    opacity: NDArray[np.float32] | None = None  # (H,W) 0..1; None: head and shoulders

    @property
    def centre_xy(self) -> tuple[float, float]:
        """Centre of the face, in pixels of the portrait."""
        x, y = self.face.box_xyxy.reshape(2, 2).mean(axis=0)
        return float(x), float(y)

    def masked(self, style: masks.MaskStyle | None) -> Cutout:
        return (
            self
            if style is None
            else replace(self, image=masks.draw(self.image, style, self.face.landmarks_xy)[0])
        )


@dataclass(frozen=True, slots=True)
class Stance:
    """Place of a person's face in the picture, in pixels, and its appearance."""

    x: float
    y: float
    face_px: float  # width
    turn_deg: float = 0.0  # in the plane of the picture
    blur_px: float = 0.0


def cut_out(detector: FaceDetector) -> dict[str, Cutout]:
    """Return both portraits by the person's name; raises PhotoError, EngineError without a face."""
    cutouts = {}
    for portrait in (COLLINS, HOPPER):
        image = load_portrait(portrait)
        faces = detector.detect(image)
        if not faces:
            raise EngineError(
                f"no face found in the portrait of {portrait.person}: the detector is broken"
            )
        cutout = Cutout(image, faces[0], portrait.person)
        cutouts[portrait.person] = replace(
            cutout, opacity=_silhouette(cutout)
        )  # once, not for each frame
    return cutouts


def enrollment_views(portrait: Cutout) -> list[NDArray[np.uint8]]:
    """Return photos as taken for enrollment: turned, nearer, darker, brighter."""
    height, width = portrait.image.shape[:2]
    views = []
    for angle, scale, gain in ((0, 1.0, 1.0), (-7, 1.1, 0.8), (6, 0.85, 1.15)):
        turn = cv2.getRotationMatrix2D(portrait.centre_xy, angle, scale)
        view = cv2.warpAffine(
            portrait.image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        views.append(np.clip(view.astype(np.float32) * gain, 0, 255).astype(np.uint8))
    return views


def expose(
    canvas: NDArray[np.float32], light: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the camera frame of a canvas (480,640,3): scaled by `light`, with noise, 8 bits."""
    noisy = canvas * light + rng.normal(0, 3.0, canvas.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def draw_person(canvas: NDArray[np.float32], person: Cutout, stance: Stance) -> None:
    """Draw the person over the canvas."""
    scale = stance.face_px / person.face.width_px
    x, y = person.centre_xy
    turn = cv2.getRotationMatrix2D((x, y), stance.turn_deg, scale)
    turn[:, 2] += np.array([stance.x - x, stance.y - y])
    shown = cv2.warpAffine(person.image, turn, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    alpha = cv2.warpAffine(
        _silhouette(person) if person.opacity is None else person.opacity, turn, (WIDTH, HEIGHT)
    )[..., None]
    soft = cv2.GaussianBlur(shown, (0, 0), stance.blur_px) if stance.blur_px > 0.3 else shown
    canvas += (soft - canvas) * alpha


def _silhouette(person: Cutout) -> NDArray[np.float32]:
    """Return head and shoulders as two soft ellipses, 0..1."""
    alpha = np.zeros(person.image.shape[:2], np.float32)
    (x0, y0), (x1, y1) = person.face.box_xyxy.reshape(2, 2)
    w, h, cx = x1 - x0, y1 - y0, (x0 + x1) / 2
    head = (int(cx), int((y0 + y1) / 2 - 0.1 * h))
    cv2.ellipse(alpha, head, (int(0.95 * w), int(0.95 * h)), 0, 0, 360, 1.0, -1)
    cv2.ellipse(
        alpha, (int(cx), int(y1 + 1.6 * h)), (int(1.7 * w), int(1.55 * h)), 0, 0, 360, 1.0, -1
    )
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.08 * float(w)), dtype=np.float32)


def draw_room() -> NDArray[np.float32]:
    """Return a corridor in perspective, lit from above."""
    y = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None]
    level = 150 - 50 * y - 35 * x**2
    walls = np.repeat(level[..., None], 3, axis=2) * np.array([0.96, 1.0, 1.02], np.float32)
    for corner in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)):
        cv2.line(walls, corner, (WIDTH // 2, HEIGHT // 2 - 30), (95.0, 98.0, 100.0), 2, cv2.LINE_AA)
    cv2.rectangle(
        walls,
        (WIDTH // 2 - 90, HEIGHT // 2 - 110),
        (WIDTH // 2 + 90, HEIGHT // 2 + 60),
        (120.0, 118.0, 116.0),
        -1,
    )
    return walls
