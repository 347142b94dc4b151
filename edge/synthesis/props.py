"""Presentation attacks and poses drawn from a portrait: print, screen, turned and blurred head."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.synthesis.drawing import Cutout

_Picture = NDArray[np.uint8]  # (H,W,3) BGR
_PAPER_BGR, _BEZEL_BGR = (238, 240, 241), (30, 28, 27)
_SCREEN_ZOOM = 3.0  # pixels of the screen per pixel of the portrait


def draw_print(person: Cutout) -> Cutout:
    """Return a photo on paper with a white border."""
    return _mounted(person, _upper_body(person), zoom=1.0, border=8, colour_bgr=_PAPER_BGR)


def draw_tablet(person: Cutout) -> Cutout:
    """Return a screen with bezel and glare, whose pixel grid gives a moire pattern."""
    top, left, picture = _upper_body(person)
    screen = cv2.resize(
        picture, None, fx=_SCREEN_ZOOM, fy=_SCREEN_ZOOM, interpolation=cv2.INTER_CUBIC
    ).astype(np.float32)
    v, u = np.mgrid[: screen.shape[0], : screen.shape[1]].astype(np.float32)
    grid = (1 + 0.14 * np.sin(2 * np.pi * u / 4.3)) * (1 + 0.14 * np.sin(2 * np.pi * v / 4.6))
    glare = 40 * np.exp(-(((u + v - 0.9 * screen.shape[1]) / 60) ** 2))
    lit = np.clip(screen * (1.08 * grid)[..., None] + glare[..., None], 0, 255).astype(np.uint8)
    return _mounted(person, (top, left, lit), zoom=_SCREEN_ZOOM, border=44, colour_bgr=_BEZEL_BGR)


def turn_head(person: Cutout, squeeze: float) -> Cutout:
    """Return a turned head: one half squeezed towards the nose, the other stretched a little.

    It is not a true profile, which a portrait does not show.
    """
    height, width = person.image.shape[:2]
    v, u = np.mgrid[:height, :width].astype(np.float32)
    nose, half = float(person.face.landmarks_xy[2, 0]), person.face.width_px / 2
    away = (u - nose) / half
    squeezed = nose - half * np.minimum(
        -squeeze * away, 1 - (away + 1 / squeeze)
    )  # the background stays unchanged
    source = np.where(away < 0, squeezed, nose + 0.85 * (u - nose)).astype(np.float32)
    return replace(
        person, image=np.asarray(cv2.remap(person.image, source, v, cv2.INTER_LINEAR), np.uint8)
    )


def blur_motion(person: Cutout, length_px: int) -> Cutout:
    """Return the portrait with motion blur along the rows, in its pixels."""
    return replace(person, image=np.asarray(cv2.blur(person.image, (length_px, 1)), np.uint8))


def _upper_body(person: Cutout) -> tuple[int, int, _Picture]:
    """Return first row, first column and pixels of the upper body."""
    (x, y), reach = person.centre_xy, 1.4 * person.face.width_px
    top, left = max(0, int(y - 1.2 * reach)), max(0, int(x - reach))
    return top, left, person.image[top : int(y + 1.6 * reach), left : int(x + reach)]


def _mounted(
    person: Cutout,
    cut: tuple[int, int, _Picture],
    *,
    zoom: float,
    border: int,
    colour_bgr: tuple[int, int, int],
) -> Cutout:
    """Return a flat, opaque object: a cut of the portrait, enlarged by `zoom`, with a border."""
    top, left, picture = cut
    image = cv2.copyMakeBorder(
        picture, border, border, border, border, cv2.BORDER_CONSTANT, value=colour_bgr
    )
    box = (person.face.box_xyxy - np.array([left, top, left, top])) * zoom + border
    face = replace(person.face, box_xyxy=box.astype(np.float32))
    return Cutout(
        np.asarray(image, np.uint8), face, person.person, np.ones(image.shape[:2], np.float32)
    )
