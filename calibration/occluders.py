"""Renderer of other occluders on chips: sunglasses, caps, hands, objects and light from one side.

The coverage per pixel is used for measurements only, as for masks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import masks
from edge.chip import REFERENCE_XY, SIZE

Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]

# Frozen protocols: one kind on every chip; and a random kind at a random place on each chip.
PROTOCOL = "occluders-v1"
PLACES_PROTOCOL = "places-v1"
PLACES_KINDS = ("sunglasses", "hand", "object", "half-mask")

_DETAIL = 4  # outlines are drawn at four times the chip's resolution, for soft edges


def draw(chip: NDArray[np.uint8], kind: str, rng: np.random.Generator) -> Drawn:
    """Return a chip (112,112,3) with an occluder, and its coverage (112,112) in 0..1."""
    if kind not in _KINDS:
        raise ValueError(f"expected an occluder out of {', '.join(_KINDS)}, found {kind!r}")
    return _KINDS[kind](chip, rng)


def covers_skin(kind: str) -> bool:
    """Return True if a kind covers skin; side light only changes it."""
    return kind != "side-light"


def draw_protocol(chip: NDArray[np.uint8], kind: str, name: str) -> Drawn:
    """Draw a kind on the chip of a file name by the frozen protocol `occluders-v1`.

    Never change the drawing: add a new version and publish both results.
    """
    return draw(chip, kind, _keyed(f"{PROTOCOL}/{kind}/{name}"))


def draw_in_place(
    chip: NDArray[np.uint8], name: str
) -> tuple[NDArray[np.uint8], NDArray[np.float32], str]:
    """Return chip, coverage (112,112) and kind for a file name; frozen protocol `places-v1`."""
    rng = _keyed(f"{PLACES_PROTOCOL}/{name}")
    kind = PLACES_KINDS[int(rng.integers(len(PLACES_KINDS)))]
    if kind == "half-mask":
        return *masks.draw(chip, masks.random_style(rng, ("half",))), kind
    return *draw(chip, kind, rng), kind


def _keyed(key: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))


def _blend(
    chip: NDArray[np.uint8],
    cover: NDArray[np.float32],
    colour: NDArray[np.floating],
    opacity: float = 1.0,
) -> Drawn:
    weight = (cover * opacity)[..., None]
    return np.clip(chip * (1 - weight) + colour * weight + 0.5, 0, 255).astype(np.uint8), cover


def _fill(shapes: list[NDArray[np.floating]], blur_px: float = 0.5) -> NDArray[np.float32]:
    """Return the coverage (112,112) of closed outlines (N,2) in chip pixels."""
    canvas = np.zeros((SIZE * _DETAIL, SIZE * _DETAIL), np.uint8)
    for shape in shapes:
        cv2.fillPoly(canvas, [np.round(shape * _DETAIL).astype(np.int32)], 255)
    small = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), blur_px) / np.float32(255), np.float32)


def _ramp(rng: np.random.Generator, depth: float) -> NDArray[np.float32]:
    """Return a linear brightness gradient (112,112,1) of random direction, mean 1."""
    angle = rng.uniform(0, 2 * np.pi)
    along = np.linspace(-1, 1, SIZE, dtype=np.float32)
    return np.asarray(
        1 + depth * (along[None] * np.cos(angle) + along[:, None] * np.sin(angle)), np.float32
    )[..., None]


def _weave(rng: np.random.Generator, deviation: float) -> NDArray[np.float32]:
    noise = rng.standard_normal((SIZE, SIZE, 1), dtype=np.float32)
    return np.asarray(np.float32(deviation) * noise, np.float32)


def _sunglasses(chip: NDArray[np.uint8], rng: np.random.Generator) -> Drawn:
    eyes = REFERENCE_XY[:2] + rng.normal(0, 1.2, 2)
    half = np.array([rng.uniform(12, 17), rng.uniform(8, 14)])
    power = rng.uniform(2, 5)  # of the superellipse: round to square
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    lens = np.sign(circle) * np.abs(circle) ** (2 / power) * half + (0, rng.uniform(0, 4))
    bridge_y, thick = eyes[0, 1] - rng.uniform(0, 5), rng.uniform(1.2, 3)
    bridge = np.array(
        [
            (eyes[0, 0], bridge_y),
            (eyes[1, 0], bridge_y),
            (eyes[1, 0], bridge_y + thick),
            (eyes[0, 0], bridge_y + thick),
        ]
    )
    temples = [
        np.array([(x, y), (edge, y - 3), (edge, y - 3 + thick), (x, y + thick)])
        for x, y, edge in (
            (eyes[0, 0] - half[0], eyes[0, 1] - 3, 4.0),
            (eyes[1, 0] + half[0], eyes[1, 1] - 3, SIZE - 4.0),
        )
    ]
    cover = _fill([lens + eye for eye in eyes] + [bridge, *temples])
    tint = rng.uniform(0, 70, 3) if rng.random() < 0.7 else rng.uniform(20, 160, 3)
    shine = np.linspace(rng.uniform(0, 60), 0, SIZE, dtype=np.float32)[:, None, None]
    return _blend(chip, cover, tint * _ramp(rng, 0.3) + shine, rng.uniform(0.8, 1))


def _cap(chip: NDArray[np.uint8], rng: np.random.Generator) -> Drawn:
    brim_y, tilt, droop = rng.uniform(20, 40), rng.uniform(-5, 5), rng.uniform(2, 9)
    x = np.linspace(-10, SIZE + 10, 24)
    curve = (
        brim_y + tilt * (x - SIZE / 2) / SIZE * 2 - droop * (1 - ((x - SIZE / 2) / (SIZE / 2)) ** 2)
    )
    cover = _fill([np.vstack([np.column_stack([x, curve]), [(SIZE + 10, -10), (-10, -10)]])])
    rows = np.arange(SIZE, dtype=np.float32)[:, None, None]
    brim = np.where(rows > brim_y - rng.uniform(6, 14), np.float32(0.7), np.float32(1))
    return _blend(
        chip,
        cover,
        rng.uniform(10, 240, 3) * brim * _ramp(rng, 0.2) + _weave(rng, rng.uniform(1, 6)),
    )


def _hand(chip: NDArray[np.uint8], rng: np.random.Generator) -> Drawn:
    """Draw a palm with fingers that reaches in from below or from a side."""
    towards = (
        rng.uniform(0, np.pi) if rng.random() < 0.7 else rng.uniform(0, 2 * np.pi)
    )  # position of the wrist: mostly below
    out = np.array([np.cos(towards), np.sin(towards)])
    across = np.array([-out[1], out[0]])
    palm = np.array([56.0, 66.0]) + rng.uniform(-14, 14, 2) + out * rng.uniform(12, 30)
    width = rng.uniform(13, 20)
    knuckles = palm - out * 12
    shapes = [
        np.array(
            [
                knuckles - across * width,
                knuckles + across * width,
                palm + out * 90 + across * width,
                palm + out * 90 - across * width,
            ]
        )
    ]
    spread, length = rng.uniform(0, 0.12), rng.uniform(18, 34)
    for i, place in enumerate((-0.75, -0.25, 0.25, 0.75)):
        root = knuckles + across * width * place
        direction = -out + across * place * spread * 4
        tip = root + direction * length * (0.82, 1.0, 0.95, 0.7)[i]
        thick = across * width * 0.22
        round_tip = tip + direction * width * 0.18
        shapes.append(
            np.array([root - thick, tip - thick * 0.9, round_tip, tip + thick * 0.9, root + thick])
        )
    cover = _fill(shapes, 0.8)
    cheeks = (
        chip[60:80, 36:76].reshape(-1, 3).mean(axis=0)
        if rng.random() < 0.7
        else np.array([60, 90, 150]) * rng.uniform(0.5, 1.6)
    )
    folds = (
        1
        + 0.12
        * np.sin((np.indices((SIZE, SIZE)).transpose(1, 2, 0) @ across) / (width * 0.16))[..., None]
    )
    return _blend(
        chip, cover, (cheeks * rng.uniform(0.75, 1.2)) * folds * _ramp(rng, 0.25) + _weave(rng, 3)
    )


def _object(chip: NDArray[np.uint8], rng: np.random.Generator) -> Drawn:
    """Draw a rotated box of one colour, such as a phone or a cup."""
    middle = (float(rng.uniform(8, SIZE - 8)), float(rng.uniform(20, SIZE - 4)))
    width, height = rng.uniform(18, 52, 2)
    box = (middle, (float(width), float(height)), float(rng.uniform(0, 180)))
    cover = _fill([np.asarray(cv2.boxPoints(box), np.float32)])
    return _blend(
        chip, cover, rng.uniform(0, 255, 3) * _ramp(rng, 0.2) + _weave(rng, rng.uniform(0, 8))
    )


def _side_light(chip: NDArray[np.uint8], rng: np.random.Generator) -> Drawn:
    """Light a face from one side; the shadow keeps a fifth to a half of the light."""
    x = np.linspace(-1, 1, SIZE, dtype=np.float32)[None] * rng.choice((-1, 1)) + rng.uniform(
        -0.3, 0.3
    )
    x = x + np.linspace(-1, 1, SIZE, dtype=np.float32)[:, None] * rng.uniform(-0.4, 0.4)
    dark, bright = rng.uniform(0.2, 0.5), rng.uniform(1.0, 1.5)
    light = dark + (bright - dark) / (1 + np.exp(-x * rng.uniform(2, 12)))
    return np.clip(chip * light[..., None], 0, 255).astype(np.uint8), np.zeros(
        (SIZE, SIZE), np.float32
    )


_KINDS: dict[str, Callable[[NDArray[np.uint8], np.random.Generator], Drawn]] = {
    "sunglasses": _sunglasses,
    "cap": _cap,
    "hand": _hand,
    "object": _object,
    "side-light": _side_light,
}
KINDS = tuple(_KINDS)
