"""Recall of the detector by score, false faces, and the rule for weak faces of a track.

python -m benchmarks.detector --chips rmfrd_dev.tar --clips clips --out detector.md
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration import occluders
from calibration.chips import decode_chip, has_real_mask, read_chips
from calibration.surroundings import surround
from edge import masks
from edge.camera.replay import ReplayCamera
from edge.chip import REFERENCE_XY, SIZE
from edge.config import TerminalConfig
from edge.engine import Engine
from edge.face.boxes import iou
from edge.face.detect import FaceDetector
from edge.gallery.search import Index
from edge.portraits import COLLINS, HOPPER, load_portrait
from edge.recogniser.build import open_pipeline
from edge.recogniser.networks import TerminalNetworks, open_networks
from edge.synthesis.drawing import FPS, HEIGHT, WIDTH, draw_room
from edge.system.markdown import format_table
from edge.values import Face, FaceResult, Frame, Verdict

Picture = NDArray[np.uint8]

SCORES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RULES = ((0.7, 0.7), (0.7, 0.5), (0.7, 0.4), (0.6, 0.4), (0.5, 0.5))  # min_score, min_score_tracked
FACE_PX = (60, 90, 120)
_FACE_WIDTH = 0.79  # of the box of a face, in its chip
_FACE_BOX = np.array([0.15, 0.14, 0.94, 1.07])  # median of detections, in shares of the chip
_SAME_IOU = 0.3  # from this overlap on a detection is the face that was placed
_BORDER = 39  # pixels around a chip that fade into the room
_NEAR_S = 1.0  # a detection near a certain one of this time is a person
_CERTAIN = 0.7
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


@dataclass(frozen=True, slots=True)
class FoundScore:
    """Scores of a placed face, 0 if it was not found; its landmark error by the eye distance."""

    search: float  # of the full frame with the smaller input
    fine: float  # of the full frame with the larger input
    near: float  # of a search where a track expects the face
    landmark_error: float
    face_px: int  # width


@dataclass(frozen=True, slots=True)
class WalkResult:
    """Frames of a walk-up in which the placed face was found and used, and uses of others."""

    found: tuple[bool, ...]
    used: tuple[bool, ...]
    elsewhere: int
    reasons: Counter[str]  # of the placed face where it was found and not used

    @property
    def first(self) -> int | None:
        return self.used.index(True) if any(self.used) else None


class CachedEngine:
    """Engine that computes each input once, so that rules are compared at low cost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outputs: dict[bytes, dict[str, NDArray[np.float32]]] = {}

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        key = hashlib.blake2b(np.ascontiguousarray(batch).data, digest_size=16).digest()
        if key not in self._outputs:
            found = self._engine.run(batch)
            self._outputs[key] = {name: rows.copy() for name, rows in found.items()}
        return self._outputs[key]

    def close(self) -> None:
        self._engine.close()


# Frames


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


# Recall


def measure_recall(
    placed: Iterable[PlacedFace], detector: FaceDetector, fine: FaceDetector
) -> list[FoundScore]:
    """Return the scores of placed faces by detectors that report weak faces."""
    scores = []
    for one in placed:
        assert one.box_xyxy is not None and one.landmarks_xy is not None
        full = _best(detector.search(one.image, FACE_PX[0]), one.box_xyxy)
        large = _best(fine.search(one.image, FACE_PX[0]), one.box_xyxy)
        close = detector.find_at(one.image, one.box_xyxy)
        near = _best([close] if close is not None else [], one.box_xyxy)
        error = math.nan
        if near is not None:
            eyes = np.linalg.norm(one.landmarks_xy[1] - one.landmarks_xy[0])
            away = np.linalg.norm(near.landmarks_xy - one.landmarks_xy, axis=1).mean()
            error = float(away / eyes)
        found = [face.score if face is not None else 0.0 for face in (full, large, near)]
        width = round(one.box_xyxy[2] - one.box_xyxy[0])
        scores.append(FoundScore(*found, error, width))
    return scores


def _best(faces: Iterable[Face], box: NDArray[np.float64]) -> Face | None:
    same = [face for face in faces if iou(face.box_xyxy, box) >= _SAME_IOU]
    return max(same, key=lambda face: face.score, default=None)


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


# Frames without faces


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


def false_in_clip(found: Sequence[Sequence[Face]], fps: float) -> list[list[float]]:
    """Return the scores of each frame's detections that are of no person.

    A detection near a certain one, within a second, is of a person.
    """
    around, result = round(_NEAR_S * fps), []
    for i, faces in enumerate(found):
        others = (face for each in found[max(0, i - around) : i + around + 1] for face in each)
        certain = [face for face in others if face.score >= _CERTAIN]
        result.append([face.score for face in faces if not _is_near(face, certain)])
    return result


def _is_near(face: Face, others: Iterable[Face]) -> bool:
    middle = face.box_xyxy.reshape(2, 2).mean(axis=0)
    return any(
        float(np.linalg.norm(middle - other.box_xyxy.reshape(2, 2).mean(axis=0))) < other.width_px
        for other in others
    )


# Walk-ups


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
        certain = [face for face in detector.search(image) if face.score >= _CERTAIN]
        if len(certain) == 1:
            face = detector.refine(image, certain[0])
            worn = masks.draw(image, style, face.landmarks_xy)[0]
            frames.append(PlacedFace(worn, face.box_xyxy.astype(np.float64)))
    return frames


def play(
    frames: Sequence[PlacedFace], config: TerminalConfig, networks: TerminalNetworks
) -> WalkResult:
    """Play a walk-up through the terminal's pipeline with an empty gallery."""
    pipeline = open_pipeline(config, networks, Index())
    found, used, elsewhere = [], [], 0
    reasons: Counter[str] = Counter()
    for number, placed in enumerate(frames):
        results = pipeline.recognise(Frame(placed.image, number / FPS, number))
        assert placed.box_xyxy is not None
        mine = [one for one in results if iou(one.face.box_xyxy, placed.box_xyxy) >= _SAME_IOU]
        usable = [result for result in results if result.is_conclusive and _is_used(result)]
        found.append(bool(mine))
        used.append(any(result in usable for result in mine))
        elsewhere += sum(result not in mine for result in usable)
        reasons.update(str(one.decision.reason.value) for one in mine if one not in usable)
    return WalkResult(tuple(found), tuple(used), elsewhere, reasons)


def _is_used(result: FaceResult) -> bool:
    """Return True if a face was embedded, and not refused by a gate."""
    return result.probe is not None and result.decision.verdict is not Verdict.REFUSED


# Report


def format_recall(groups: dict[str, list[FoundScore]]) -> str:
    def rows(kind: str, pick: Callable[[FoundScore], float]) -> Iterator[list[str]]:
        for name, scores in groups.items():
            found = np.array([pick(score) for score in scores])
            shares = [f"{(found >= score).mean():.1%}" for score in SCORES]
            yield [name, kind, f"{len(found):,}", *shares]

    columns = ["faces", "search", "frames", *(f"{score:g}" for score in SCORES)]
    return format_table(
        columns,
        [
            *rows("full frame, 320x256", lambda s: s.search),
            *rows("full frame, 640x480", lambda s: s.fine),
            *rows("at a track", lambda s: s.near),
        ],
    )


def format_sizes(groups: dict[str, list[FoundScore]]) -> str:
    rows = []
    for name, scores in groups.items():
        row = [name]
        for face_px in FACE_PX:
            found = np.array([score.fine for score in scores if score.face_px == face_px])
            row.append(" / ".join(f"{(found >= least).mean():.0%}" for least in (0.5, 0.7)))
        rows.append(row)
    return format_table(["faces", *(f"{face_px} px" for face_px in FACE_PX)], rows)


def format_landmarks(groups: dict[str, list[FoundScore]]) -> str:
    bands = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 1.0))
    rows = []
    for low, high in bands:
        errors = [
            score.landmark_error
            for scores in groups.values()
            for score in scores
            if low <= score.near < high
        ]
        if errors:
            median, most = np.percentile(errors, (50, 90))
            rows.append([f"{low:g} to {high:g}", str(len(errors)), f"{median:.1%}", f"{most:.1%}"])
    return format_table(["score", "faces", "median error", "90 % are below"], rows)


def format_false(groups: dict[str, list[list[float]]]) -> str:
    rows = []
    for name, frames in groups.items():
        scores = np.array([score for frame in frames for score in frame])
        counts = [f"{1000 * (scores >= least).sum() / len(frames):.0f}" for least in SCORES]
        rows.append([name, str(len(frames)), *counts])
    return format_table(["frames", "number", *(f"{score:g}" for score in SCORES)], rows)


def format_walks(results: dict[tuple[str, tuple[float, float]], list[WalkResult]]) -> str:
    rows = []
    for (name, (start, tracked)), walks in results.items():
        found, used = (
            np.concatenate([getattr(walk, kind) for walk in walks]) for kind in ("found", "used")
        )
        firsts = [walk.first for walk in walks if walk.first is not None]
        first = f"{np.median(firsts) / FPS:.2f} s" if firsts else "none"
        reasons = sum((walk.reasons for walk in walks), Counter[str]()).most_common(3)
        rows.append([name, f"{start:g}", f"{tracked:g}" if tracked < start else "off"])
        rows[-1] += [f"{len(walks)} / {len(used)}", f"{found.mean():.1%}", f"{used.mean():.1%}"]
        rows[-1] += [str(len(firsts)), first, str(sum(walk.elsewhere for walk in walks))]
        rows[-1].append(", ".join(f"{reason} {number}" for reason, number in reasons) or "none")
    columns = ["walk-ups", "min_score", "tracked", "number / frames", "found", "usable"]
    columns += ["walk-ups with a usable face", "its time, median", "elsewhere", "not usable"]
    return format_table(columns, rows)


_PAGE = """# Detector: recall by score

Measured by `make detector-bench DATA=...`. Aligned chips of RMFRD are placed into drawn 640x480
frames of a corridor, with faces 60, 90 and 120 pixels wide. The edge of a chip is repeated, blurred
and faded into the room, since black corners of a chip occur in no frame. Side light is the drawing
of `occluders-v1`; low light is a twelfth to a quarter of the light with sensor noise.

## Share of faces found, by minimum score

`full frame` is the search for new faces with `input_size: 320x256`, which halves the frame, and
with `input_size: 640x480`, which does not; `auto` takes 640x480 here. `at a track` is the search
around the place where a track expects the face, in the pixels of the frame.

{recall}
## Share of faces found in the full frame, 640x480, at 0.5 / 0.7, by width of the face

{sizes}
## Landmark error in a search at a track, by score

Mean distance from the chip's reference points, in eye distances, of all faces above. It is not 0
for exact landmarks: alignment fits these points only on average.

{landmarks}
## False faces in 1,000 frames without faces, by minimum score

{false}
## Walk-ups through the pipeline

One photo comes closer, from 55 to 130 pixels within 1.6 s, or a recording with a drawn mask is
played; 15 frames per second. `tracked` is `detector.min_score_tracked`. A usable face is embedded
and not refused by a gate. `elsewhere` counts usable faces that are not the placed one. A face of a
track that its embedding does not confirm is `skipped`.

{walks}
## Choice

- `detector.min_score` stays at 0.7. Below it the recordings give false faces. A face of this score
  counts as a person for the rate limit, `nearest_only` and enrollment.
- `detector.min_score_tracked` is 0.5: place and embedding of the track confirm the face. It gains
  two points of the frames with real masks. Three frames with drawn masks had such a face elsewhere,
  which its track's embedding had confirmed. Below 0.5 the gain is within two frames.
- The rule adds frames to a track; it finds no one earlier, since a track starts at `min_score`.
- For small masked faces a larger input finds more than a lower score. So `input_size: auto` takes
  the smallest input in which a face of `min_face_px` is 40 pixels wide (it was 24). The larger
  input has 3.75 times the pixels and is searched once per `search_interval_s`.

## What this does not show

- The chips were cut out by the same detector. Faces that it missed are not among them, so the
  shares are upper limits. The shares compare scores and conditions.
- A walk-up is one photo that comes closer and sways: it is found in most frames or in few. Frames
  of a real walk-up differ more, and a person in front of a terminal stays longer and nearer.
- Real masks are of photos from the web, some squeezed; surroundings are not natural.
- The recorded clips contain few people, and their masks are drawn.
- Erased faces, noise and few recordings are no sample of a site's background. Pictures on a wall,
  printed clothes and statues are missing.
- A detection in a recording counts as false if no face of 0.7 or more is near it within a second.
  A person who never reaches that score would be among them.
- No impostor is measured here. A weak face has to match its track's embedding, and a grant needs
  the threshold of the gallery.
"""


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chips", type=Path, required=True, help=".tar with u_* and m_* chips")
    parser.add_argument("--clips", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"), help="bundle")
    parser.add_argument("--count", type=int, default=40, help="chips of each kind")
    parser.add_argument("--walks", type=int, default=6, help="walk-ups of each kind")
    parser.add_argument("--out", type=Path, help="page in Markdown")
    return parser.parse_args()


def _pick_chips(source: Path, count: int, *, real: bool) -> list[tuple[str, Picture]]:
    found = [one for one in read_chips(source) if has_real_mask(one[0]) == real]
    step = max(1, len(found) // count)
    return [(name, decode_chip(data, name)) for name, data in islice(found, 0, count * step, step)]


def _config(bundle: Path, start: float, tracked: float, input_size: str = "auto") -> TerminalConfig:
    return TerminalConfig.model_validate(
        {
            "terminal": "measurement",
            "bundle": bundle.resolve(),
            "state": Path("state").resolve(),
            "camera": {"kind": "replay", "path": Path("clip").resolve()},
            "engine": {"kind": "ort", "threads": 1},
            "liveness": {"kind": "none"},
            "detector": {
                "min_score": start,
                "min_score_tracked": tracked,
                "input_size": input_size,
            },
        }
    )


def _walks(
    args: argparse.Namespace,
    clips: dict[str, list[Picture]],
    bare: Sequence[tuple[str, Picture]],
    real: Sequence[tuple[str, Picture]],
    networks: TerminalNetworks,
) -> dict[str, list[list[PlacedFace]]]:
    def several(
        chips: Sequence[tuple[str, Picture]], *, dark: bool = False
    ) -> list[list[PlacedFace]]:
        step = max(1, len(chips) // args.walks)
        chosen = chips[::step][: args.walks]
        return [walk_up(chip, i, dark=dark) for i, (_, chip) in enumerate(chosen)]

    drawn = [(name, masks.draw_protocol(chip, name)[0]) for name, chip in bare]
    masked = [mask_clip(images, networks.detector, name) for name, images in clips.items()]
    return {
        "bare": several(bare),
        "drawn masks": several(drawn),
        "real masks": several(real),
        "real masks, low light": several(real, dark=True),
        "recorded clips, drawn masks": [frames for frames in masked if frames],
    }


def _play_all(
    args: argparse.Namespace, walks: dict[str, list[list[PlacedFace]]]
) -> dict[tuple[str, tuple[float, float]], list[WalkResult]]:
    engines: dict[str, CachedEngine] = {}
    results = {}
    for rule in RULES:
        config = _config(args.bundle, *rule)
        networks = open_networks(config, _sharing(engines))
        for name, each in walks.items():
            results[name, rule] = [play(frames, config, networks) for frames in each]
        print(format_walks({key: row for key, row in results.items() if key[1] == rule}))
    return {(name, rule): results[name, rule] for name in walks for rule in RULES}


def _sharing(engines: dict[str, CachedEngine]) -> Callable[[Engine, str], Engine]:
    """Return a wrapper of `open_networks` that shares the results of equal networks."""
    opened: list[str] = []

    def wrap(engine: Engine, role: str) -> Engine:
        opened.append(role)
        key = f"{role} {opened.count(role)}"  # the order of a configuration's detectors is fixed
        return engines.setdefault(key, CachedEngine(engine))

    return wrap


def main() -> int:
    args = _parse()
    bare, real = (_pick_chips(args.chips, args.count, real=kind) for kind in (False, True))
    halved, networks = (
        open_networks(_config(args.bundle, min(SCORES), min(SCORES), size))
        for size in ("320x256", "640x480")
    )
    detector, min_face_px = networks.detector, FACE_PX[0]
    groups = recall_groups(bare, real)
    recall = {
        name: measure_recall(placed, halved.detector, detector) for name, placed in groups.items()
    }
    print(format_recall(recall))
    recordings = sorted(path for path in args.clips.rglob("*") if path.suffix in (".gif", ".mkv"))
    clips = {path.stem: read_clip(path, 3 if path.suffix == ".mkv" else 1) for path in recordings}
    false = {
        name: [[face.score for face in detector.search(image, min_face_px)] for image in images]
        for name, images in faceless_groups(bare).items()
    }
    false["recordings, away from faces"] = [
        frame
        for images in clips.values()
        for frame in false_in_clip([detector.search(image, min_face_px) for image in images], FPS)
    ]
    print(format_false(false))
    results = _play_all(args, _walks(args, clips, bare, real, networks))
    page = _PAGE.format(
        recall=format_recall(recall),
        sizes=format_sizes(recall),
        landmarks=format_landmarks(recall),
        false=format_false(false),
        walks=format_walks(results),
    )
    if args.out:
        args.out.write_text(page, encoding="utf-8")
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
