"""Face mask renderer: deterministic drawings of mask styles, with their coverage per pixel.

Outlines are defined on the canonical chip (112x112, reference landmarks of `edge.chip`) and are
mapped to a photo by the similarity transform of its landmarks. Training chips, enrollment photos
and demo clips share this renderer. The coverage is used for measurements only: the network learns
to locate masks without pixel labels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import chip

# Families that training draws, and families that are only measured.
TRAINED = (
    "surgical",
    "kn95",
    "cloth",
    "scarf",
    "nose-out",
    "valve",
    "half",
    "chin",
    "cup",
    "varied",
)
HELD_OUT = ("duckbill", "bandana")
FAMILIES = TRAINED + HELD_OUT
_NOT_WORN = ("chin",)  # hides nothing of the face
PROTOCOL = "masks-v1"
PROTOCOL_FAMILIES = ("surgical", "kn95", "cloth")

_MARGIN = 44  # canonical pixels around the chip: masks extend below the chin and beyond the cheeks
_CANVAS = chip.SIZE + 2 * _MARGIN

# Right half of each outline: x from the middle of the face, y, from the nose bridge down.
_OUTLINES: dict[str, tuple[tuple[float, float], ...]] = {
    "surgical": ((0, 62), (10, 63), (24, 69), (36, 76), (35, 96), (26, 111), (12, 119), (0, 121)),
    "kn95": (
        (0, 58),
        (7, 60),
        (15, 68),
        (28, 75),
        (38, 82),
        (34, 100),
        (22, 115),
        (9, 122),
        (0, 124),
    ),
    "cloth": ((0, 61), (9, 62), (22, 68), (38, 74), (38, 94), (27, 112), (13, 120), (0, 121)),
    "scarf": ((0, 65), (16, 66), (34, 69), (44, 72), (46, 96), (44, 125), (42, 150), (0, 154)),
    "nose-out": ((0, 79), (11, 79), (24, 80), (35, 83), (34, 98), (26, 112), (12, 120), (0, 121)),
    "valve": ((0, 59), (9, 61), (24, 68), (37, 75), (36, 98), (27, 114), (12, 123), (0, 125)),
    "half": ((0, 63), (11, 64), (24, 69), (37, 74), (36, 95), (27, 110), (12, 118), (0, 119)),
    "chin": ((0, 104), (13, 104), (26, 100), (36, 96), (34, 108), (27, 120), (13, 131), (0, 133)),
    "cup": ((0, 60), (8, 62), (17, 68), (27, 80), (31, 93), (28, 106), (18, 117), (0, 122)),
    # The mean of random outlines; see `_varied_outline`.
    "varied": ((0, 64), (10, 65), (24, 70), (36, 76), (35, 96), (26, 111), (12, 119), (0, 121)),
    "duckbill": ((0, 66), (15, 67), (33, 71), (39, 79), (37, 93), (30, 106), (15, 111), (0, 112)),
    "bandana": ((0, 62), (14, 63), (33, 65), (46, 69), (42, 90), (29, 117), (13, 141), (0, 152)),
}
_COLOURS_BGR: dict[str, tuple[tuple[int, int, int], ...]] = {
    "surgical": (
        (222, 190, 140),
        (236, 232, 226),
        (190, 205, 150),
        (190, 170, 225),
        (60, 56, 52),
        (205, 160, 96),
    ),
    "kn95": ((240, 240, 238), (232, 228, 222), (190, 190, 190), (48, 46, 46), (200, 214, 226)),
    "valve": ((238, 238, 236), (205, 205, 205), (60, 58, 56), (120, 90, 60)),
    "half": ((222, 190, 140), (236, 232, 226), (60, 56, 52), (190, 170, 225)),
    "chin": ((222, 190, 140), (236, 232, 226), (60, 56, 52), (200, 200, 200)),
    "cup": ((242, 242, 240), (232, 232, 228), (206, 214, 220), (226, 206, 176), (52, 50, 50)),
    "duckbill": ((235, 225, 205), (240, 240, 238), (225, 200, 160)),
}
_PRINTS = ("plain", "stripes", "dots", "checks", "patches")
_PRINTED = ("cloth", "scarf", "bandana")
_WITHOUT_STRAPS = ("scarf", "bandana")


@dataclass(frozen=True, slots=True)
class MaskStyle:
    """Appearance of a mask; geometry in canonical chip pixels."""

    family: str
    colour_bgr: tuple[int, int, int]
    print_kind: str = "plain"  # plain, stripes, dots, checks, patches
    print_bgr: tuple[int, int, int] = (255, 255, 255)
    print_pitch_px: float = 9.0
    print_angle: float = 0.0
    shift_xy: tuple[float, float] = (0.0, 0.0)
    stretch_xy: tuple[float, float] = (1.0, 1.0)
    tilt: float = 0.0  # radians
    wobble_px: float = 0.0
    folds: float = 0.5  # 0..1, depth of pleats and creases
    light: float = 0.0  # -1..1, brighter to the left or right
    opacity: float = 1.0
    straps: bool = True
    feather_px: float = 0.8
    texture: float = 4.0  # standard deviation of the weave, in grey levels
    seed: int = 0

    @property
    def worn(self) -> bool:
        """True if the mask hides part of the face; a mask under the chin does not."""
        return self.family not in _NOT_WORN


def random_style(rng: np.random.Generator, families: tuple[str, ...] = TRAINED) -> MaskStyle:
    """Return a random style for training, with wide ranges of shape, colour and fit."""
    family = str(rng.choice(families))
    palette = _COLOURS_BGR.get(family)
    if palette is not None and rng.random() < 0.8:
        base = np.array(palette[rng.integers(len(palette))], dtype=np.float64) + rng.normal(
            0, 10, 3
        )
    else:
        base = rng.uniform(15, 245, 3) if rng.random() < 0.6 else np.repeat(rng.uniform(15, 245), 3)
    printed = family in _PRINTED or rng.random() < (0.4 if family == "varied" else 0.12)
    shift, tilt = (rng.normal(0, 1.8), rng.normal(0, 2.5)), rng.normal(0, 0.04)
    if family == "half":  # hangs from one ear or is pulled to one side
        side = rng.choice((-1, 1))
        shift, tilt = (
            (side * rng.uniform(8, 24), rng.uniform(2, 18)),
            side * rng.uniform(-0.15, 0.6),
        )
    return MaskStyle(
        family=family,
        colour_bgr=_colour(base),
        print_kind=str(rng.choice(_PRINTS)) if printed else "plain",
        print_bgr=_colour(rng.uniform(10, 250, 3)),
        print_pitch_px=float(rng.uniform(4, 18)),
        print_angle=float(rng.uniform(0, np.pi)),
        shift_xy=(float(shift[0]), float(shift[1])),
        stretch_xy=(float(rng.uniform(0.86, 1.14)), float(rng.uniform(0.88, 1.1))),
        tilt=float(tilt),
        wobble_px=float(rng.uniform(0, 2.0)),
        folds=float(rng.uniform(0, 1)),
        light=float(rng.uniform(-0.8, 0.8)),
        opacity=float(rng.uniform(0.93, 1.0)),
        straps=bool(rng.random() < 0.7),
        feather_px=float(rng.uniform(0.4, 1.6)),
        texture=float(rng.uniform(1, 9)),
        seed=int(rng.integers(2**31)),
    )


def protocol_style(name: str, family: str | None = None) -> MaskStyle:
    """Return the style of the frozen protocol `masks-v1` for a file name (`identity/image`).

    Surgical, KN95 or cloth, from the nose bridge to below the chin. Never change the styles or
    their drawing: add a new version and publish both results.
    """
    digest = hashlib.sha256(f"{PROTOCOL}/{name}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    drawn = PROTOCOL_FAMILIES[int(rng.integers(len(PROTOCOL_FAMILIES)))]
    chosen = family or drawn
    palette = _COLOURS_BGR.get(chosen)
    base = (
        np.array(palette[int(rng.integers(len(palette)))]) if palette else rng.uniform(20, 240, 3)
    )
    return MaskStyle(
        family=chosen,
        colour_bgr=_colour(base + rng.normal(0, 6, 3)),
        print_kind=("plain", "stripes", "dots", "checks")[int(rng.integers(4))]
        if chosen == "cloth"
        else "plain",
        print_bgr=_colour(rng.uniform(20, 240, 3)),
        print_pitch_px=float(rng.uniform(6, 14)),
        print_angle=float(rng.uniform(0, np.pi)),
        shift_xy=(float(rng.normal(0, 1.0)), float(rng.normal(0, 1.5))),
        stretch_xy=(float(rng.uniform(0.94, 1.06)), float(rng.uniform(0.97, 1.05))),
        tilt=float(rng.normal(0, 0.02)),
        folds=float(rng.uniform(0.3, 0.8)),
        light=float(rng.uniform(-0.5, 0.5)),
        seed=int(rng.integers(2**31)),
    )


def draw(
    image: NDArray[np.uint8],
    style: MaskStyle,
    landmarks_xy: NDArray[np.floating] = chip.REFERENCE_XY,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return an image (H,W,3) uint8 BGR with the mask, and its coverage (H,W) in 0..1.

    Landmarks (5,2) are in pixels of the image, by default those of a chip.
    """
    if style.family not in _OUTLINES:
        raise ValueError(
            f"expected a mask family out of {', '.join(_OUTLINES)}, found {style.family!r}"
        )
    to_image = chip.invert(chip.similarity(landmarks_xy, chip.REFERENCE_XY))
    pixel = float(np.hypot(to_image[0, 0], to_image[1, 0]))  # image pixels per canonical pixel
    detail = int(np.clip(np.ceil(pixel - 0.01), 1, 4))
    cover, paint = _paint(style, detail)
    from_canvas = np.column_stack(
        [to_image[:, :2] / detail, to_image[:, 2] - to_image[:, :2] @ np.full(2, float(_MARGIN))]
    )
    size = (image.shape[1], image.shape[0])
    alpha = cv2.warpAffine(cover, from_canvas, size, flags=cv2.INTER_LINEAR)
    colour = cv2.warpAffine(
        paint, from_canvas, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    shown = np.clip(colour * _exposure(image, landmarks_xy), 0, 255)
    weight = (alpha * style.opacity)[..., None]
    blended = image * (1 - weight) + shown * weight
    return np.clip(blended + 0.5, 0, 255).astype(np.uint8), np.asarray(alpha, dtype=np.float32)


def draw_protocol(
    image: NDArray[np.uint8], name: str, family: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw the mask of the frozen protocol on a chip; see `protocol_style` and `draw`."""
    return draw(image, protocol_style(name, family))


def draw_for_template(chip: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Draw the mask of a masked template, which differs from the mask of the protocol."""
    return draw_protocol(chip, f"template {name}")[0]


def _paint(style: MaskStyle, detail: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return coverage (S,S) in 0..1 and colour (S,S,3) in 0..255 on the canonical canvas.

    The canvas has `detail` pixels per chip pixel.
    """
    rng = np.random.default_rng(style.seed)
    side = _CANVAS * detail
    outline = (_outline(style, rng) + _MARGIN) * detail
    cover = np.zeros((side, side), np.uint8)
    cv2.fillPoly(cover, [_fixed(outline)], 255, lineType=cv2.LINE_AA, shift=4)
    if style.straps:
        _draw_straps(cover, outline, detail, style.family)
    soft = cv2.GaussianBlur(cover, (0, 0), style.feather_px * detail)

    along = np.asarray(np.arange(side) / detail - _MARGIN, np.float32)
    x, y = along[None, :], along[:, None]
    shade = (
        1 + 0.22 * style.light * (x - 56) / 40 - 0.10 * ((x - 56) / 40) ** 2 - 0.10 * (y - 90) / 40
    )
    shade = shade + style.folds * _folds(style.family, x, y)
    weave = style.texture * rng.standard_normal((_CANVAS, _CANVAS), dtype=np.float32)
    if detail > 1:
        weave = np.asarray(
            cv2.resize(weave, (side, side), interpolation=cv2.INTER_LINEAR), np.float32
        )
    plain, printed = (
        np.asarray(style.colour_bgr, np.float32),
        np.asarray(style.print_bgr, np.float32),
    )
    colour = (
        plain
        if style.print_kind == "plain"
        else plain + _print(style, x, y)[..., None] * (printed - plain)
    )
    return np.asarray(soft / 255, np.float32), np.asarray(
        colour * shade[..., None] + weave[..., None], np.float32
    )


def _outline(style: MaskStyle, rng: np.random.Generator) -> NDArray[np.float64]:
    if style.family == "varied":
        points = _varied_outline(rng)
    else:
        right = np.array(_OUTLINES[style.family])
        left = right[-2:0:-1] * (-1, 1)
        points = np.vstack([right, left])
    points = points + rng.normal(0, 1, points.shape) * style.wobble_px
    centre = np.array([0.0, 92.0])
    cos, sin = np.cos(style.tilt), np.sin(style.tilt)
    points = (points - centre) * style.stretch_xy @ np.array([[cos, sin], [-sin, cos]]) + centre
    return _smooth(
        points + np.array([chip.REFERENCE_XY[2, 0] + style.shift_xy[0], style.shift_xy[1]])
    )


def _varied_outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random outline (14,2) from the bridge of the nose to below the mouth."""
    half = np.array(_OUTLINES["varied"])
    top, bottom = np.clip(rng.normal((1, 4), (4, 9)), (0.5, -4), (6, 26))
    # Shared by both sides: heights of bridge and chin, widths at the cheek and at the jaw.
    along = np.clip((half[:, 1] - 62) / 59, 0, 1)
    height = half[:, 1] + top * (1 - along) + bottom * along
    widths = np.clip(rng.normal(1, (0.25, 0.12, 0.2)), 0.7, 1.5)
    width = half[:, 0] * np.interp(along, (0, 0.3, 1), widths)
    slope = float(np.clip(rng.normal(1, 3), -1, 5))
    right = np.column_stack([width, height + slope * half[:, 0] / 36])
    left = right[-2:0:-1] * (-1, 1)
    return np.vstack([right, left]) + rng.normal(0, 1.2, (2 * len(half) - 2, 2))


def _smooth(points: NDArray[np.float64], steps: int = 6) -> NDArray[np.float64]:
    """Return a closed Catmull-Rom curve through the points."""
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    p0, p1, p2, p3 = (np.roll(points, shift, axis=0)[None] for shift in (1, 0, -1, -2))
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    return np.asarray(curve.transpose(1, 0, 2).reshape(-1, 2), dtype=np.float64)


def _draw_straps(
    cover: NDArray[np.uint8], outline: NDArray[np.float64], detail: int, family: str
) -> None:
    if family in _WITHOUT_STRAPS:
        return
    right, left = outline[outline[:, 0].argmax()], outline[outline[:, 0].argmin()]
    for corner, outwards in ((right, 1), (left, -1)):
        for drop in (-16, 4):
            ear = corner + np.array([outwards * 22, drop]) * detail
            ends = _fixed(np.array([corner, ear]))
            cv2.line(
                cover,
                tuple(map(int, ends[0])),
                tuple(map(int, ends[1])),
                255,
                max(1, detail),
                cv2.LINE_AA,
                4,
            )


def _folds(family: str, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the relative brightness of pleats, ridges and seams for x (1,S) and y (S,1)."""
    if family in ("surgical", "nose-out", "half"):
        return np.asarray(
            -0.16 * sum(np.exp(-(((y - at) / 1.3) ** 2)) for at in (82.0, 92.0, 102.0)), np.float32
        )
    if family == "kn95":
        return np.asarray(
            0.14 * np.exp(-(((x - 56) / 2.0) ** 2)) - 0.08 * np.abs(x - 56) / 40, np.float32
        )
    if family == "valve":
        rim = np.hypot(x - 68, y - 98)
        return np.asarray(
            0.1 * np.exp(-(((x - 56) / 2.0) ** 2)) - 0.35 * (rim < 7) + 0.5 * (rim < 5), np.float32
        )
    if family == "cup":
        dome = np.hypot((x - 56) / 31, (y - 92) / 32)
        clip = np.exp(-(((y - 62) / 1.6) ** 2)) * (np.abs(x - 56) < 12)
        return np.asarray(
            0.15 - 0.3 * dome**2 - 0.15 * (np.abs(dome - 0.9) < 0.04) - 0.2 * clip, np.float32
        )
    if family == "duckbill":
        return np.asarray(
            0.25 * np.exp(-(((y - 82) / 4.0) ** 2)) - 0.175 * (1 + np.tanh((y - 90) / 3)),
            np.float32,
        )
    if family in _WITHOUT_STRAPS:
        return np.asarray(0.12 * np.sin((y + 0.35 * x) / 4.5), np.float32)
    return np.asarray(-0.10 * np.exp(-(((x - 56) / 1.2) ** 2)) - 0.06 * np.sin(y / 6.0), np.float32)


def _print(style: MaskStyle, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of the print colour at each point, 0..1."""
    if style.print_kind == "patches":
        return _patches(style, x.shape[1])
    cos, sin = np.cos(style.print_angle), np.sin(style.print_angle)
    u = np.sin((x * cos + y * sin) * 2 * np.pi / style.print_pitch_px)
    v = np.sin((y * cos - x * sin) * 2 * np.pi / style.print_pitch_px)
    wave = {"stripes": u, "dots": u * v * 2 - 0.6, "checks": np.sign(u * v) * 0.6}[style.print_kind]
    return np.asarray(np.clip(0.5 + 2.5 * wave, 0, 1), np.float32)


def _patches(style: MaskStyle, side: int) -> NDArray[np.float32]:
    """Return irregular patches (S,S) 0..1, such as camouflage, a picture or writing."""
    cells = int(np.clip(_CANVAS / style.print_pitch_px, 4, 60))
    noise = np.random.default_rng(style.seed + 1).standard_normal((cells, cells), dtype=np.float32)
    smooth = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(0.5 + 3 * smooth, 0, 1), np.float32)


def _exposure(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating]) -> float:
    """Return the brightness of a mask in this photo, from the mean grey level around the nose."""
    x, y = np.asarray(landmarks_xy).mean(axis=0)
    reach = max(2.0, float(np.ptp(np.asarray(landmarks_xy)[:, 0])) / 2)
    top, left = max(0, int(y - reach)), max(0, int(x - reach))
    patch = image[top : int(y + reach) + 1, left : int(x + reach) + 1]
    return float(np.clip(0.35 + 0.65 * patch.mean() / 128, 0.3, 1.15)) if patch.size else 1.0


def _colour(values: NDArray[np.floating]) -> tuple[int, int, int]:
    b, g, r = (int(v) for v in np.clip(values, 0, 255))
    return b, g, r


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return OpenCV's fixed-point coordinates with four fractional bits."""
    return np.round(points * 16).astype(np.int32)
