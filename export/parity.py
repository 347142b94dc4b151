"""Whether two forms of one network say the same of the same chips, and if not, why: the gate before every engine. No torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.faces import pick_faces
from edge import masks
from edge.bundle import EMBEDDER_NETWORK, PARITY, SCENE, Bundle, ParityResult
from edge.bundle_files import open_file
from edge.chip import SIZE, to_input
from edge.engine import Engine, open_engine
from edge.errors import BundleError
from edge.face.detect import FaceDetector
from edge.face.embed import OUTPUTS
from edge.portraits import COLLINS, HOPPER, load_chip, load_portrait
from edge.values import Face, Precision

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ParityBounds:
    """What a form of the embedder may differ by; attention and mask_worn are in 0..1."""

    cosine: float  # the least that is allowed
    attention: float  # the largest error of any cell
    attention_chip: float  # the largest mean error of any chip's maps
    mask: float  # the largest error


# In int8 a cell at the edge of a mask may well change sides: whether maps are the same is told by their means, chip by chip.
PARITY_BOUNDS: dict[Precision, ParityBounds] = {
    "fp32": ParityBounds(0.9999, 1e-2, 1e-3, 1e-2),
    "fp16": ParityBounds(0.999, 0.1, 5e-3, 5e-2),
    "int8": ParityBounds(0.98, 1.0, 3e-2, 0.25),
}
_BATCHES = (
    1,
    2,
    4,
    16,
)  # an engine may be wrong at one size of the batch alone, and doors see one face most of the time
_ARRAY_BYTES_MAX = 512 << 20
_EXPLAINED = 0.1  # share of the lost cosine that may remain when a mistake explains it


@dataclass(frozen=True, slots=True)
class Parity:
    """How far one form of the embedder is from the FP32 network; NaN counts as the worst there is."""

    chips: int
    min_cosine: float
    mean_cosine: float
    attention_error: float  # largest absolute difference of a cell
    attention_chip: float  # mean absolute difference on the worst chip
    mask_error: float
    not_finite: int = 0

    def within(self, bounds: ParityBounds) -> bool:
        return (
            self.not_finite == 0
            and self.min_cosine >= bounds.cosine
            and self.attention_error <= bounds.attention
            and self.attention_chip <= bounds.attention_chip
            and self.mask_error <= bounds.mask
        )

    @property
    def ok(self) -> bool:
        """Whether a difference is rounding only."""
        return self.within(PARITY_BOUNDS["fp32"])

    def against(self, bounds: ParityBounds) -> str:
        """What is out of bounds, in words."""
        found = []
        if self.not_finite:
            found.append(f"{self.not_finite:,} values that are not finite")
        if not self.min_cosine >= bounds.cosine:
            found.append(f"cosine {self.min_cosine:.4f} below {bounds.cosine}")
        if not self.attention_error <= bounds.attention:
            found.append(
                f"attention wrong by {self.attention_error:.3f}, {bounds.attention} is allowed"
            )
        if not self.attention_chip <= bounds.attention_chip:
            found.append(
                f"attention wrong by {self.attention_chip:.3f} in the mean of one chip, {bounds.attention_chip} is allowed"
            )
        if not self.mask_error <= bounds.mask:
            found.append(f"mask_worn wrong by {self.mask_error:.3f}, {bounds.mask} is allowed")
        return ", ".join(found)

    def __str__(self) -> str:
        return (
            f"{self.chips} chips: cosine min {self.min_cosine:.6f} mean {self.mean_cosine:.6f}, "
            f"largest error of attention {self.attention_error:.2e}, of mask_worn {self.mask_error:.2e}"
        )


def run_chips(
    engine: Engine, inputs: NDArray[np.float32], batches: Sequence[int] = (16,)
) -> Outputs:
    """The outputs for network inputs (N,3,112,112), fed in batches of these sizes by turns; raises EngineError."""
    parts, start, sizes = [], 0, itertools.cycle(batches)
    while start < len(inputs):
        size = next(sizes)
        parts.append(engine.run(inputs[start : start + size]))
        start += size
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compare_outputs(found: Outputs, expected: Outputs) -> Parity:
    """Both hold `OUTPUTS` of the same chips."""
    a, b = found["embedding"].astype(np.float64), expected["embedding"].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    cosine = np.nan_to_num(cosine, nan=-1.0)
    attention = np.abs(found["attention"] - expected["attention"])
    return Parity(
        chips=len(a),
        min_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
        attention_error=float(attention.max()),
        attention_chip=float(attention.mean(axis=(1, 2, 3)).max()),
        mask_error=float(np.abs(found["mask_worn"] - expected["mask_worn"]).max()),
        not_finite=sum(int(np.count_nonzero(~np.isfinite(found[name]))) for name in OUTPUTS),
    )


def check_parity(model: Path, chips: NDArray[np.uint8], expected: Outputs) -> Parity:
    """Run an ONNX file on chips (N,112,112,3) and compare with the expected outputs; raises EngineError."""
    return compare_outputs(run_chips(open_engine(model, threads=1), to_input(chips)), expected)


# What a wrong form of the network may want instead of its input (N,3,112,112), RGB in -1..1.
_MISTAKES: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "its colour channels are swapped: it reads BGR where RGB is due": lambda x: (
        np.ascontiguousarray(x[:, ::-1])
    ),
    "its preprocessing is wrong: it wants pixels in 0..255 instead of -1..1": lambda x: (
        x * 127.5 + 127.5
    ),
    "its preprocessing is wrong: it wants pixels in 0..1 instead of -1..1": lambda x: (
        (x + 1) / np.float32(2)
    ),
    "its preprocessing is wrong: it wants BGR pixels in 0..255": lambda x: (
        np.ascontiguousarray(x[:, ::-1]) * 127.5 + 127.5
    ),
    "its preprocessing is wrong: it wants the rows of the picture upside down": lambda x: (
        np.ascontiguousarray(x[:, :, ::-1])
    ),
}


def is_input_mistake(reason: str) -> bool:
    """Whether a verdict's reason names a mistake at the network's input."""
    return reason.startswith(tuple(_MISTAKES))


def _nothing(chips: NDArray[np.uint8]) -> Parity:
    """As bad as can be: there is nothing to compare."""
    return Parity(len(chips), -1.0, -1.0, 1.0, 1.0, 1.0)


def compare_engine(
    engine: Engine, chips: NDArray[np.uint8], expected: Outputs, precision: Precision
) -> tuple[Parity, str]:
    """Compare an engine on chips (N,112,112,3) with the FP32 outputs; the reason is empty where it is within bounds.

    Raises EngineError.
    """
    bounds, inputs = PARITY_BOUNDS[precision], to_input(chips)
    found = run_chips(engine, inputs, _BATCHES)
    missing = [name for name in OUTPUTS if name not in found]
    if missing:
        return _nothing(chips), f"it has no output {', '.join(missing)}"
    for name in OUTPUTS:
        if found[name].shape != expected[name].shape:
            return (
                _nothing(chips),
                f"its {name} has the shape {found[name].shape}, expected {expected[name].shape}",
            )
    parity = compare_outputs(found, expected)
    if parity.within(bounds):
        return parity, ""
    for words, mistaken in _MISTAKES.items():
        if 1 - compare_outputs(
            run_chips(engine, mistaken(inputs)), expected
        ).mean_cosine < _EXPLAINED * (1 - parity.mean_cosine):
            return parity, f"{words} ({parity.against(bounds)})"
    if np.ptp(found["embedding"], axis=0).max() < 1e-6:
        return parity, f"it says the same of every chip: a layer is dead ({parity.against(bounds)})"
    return parity, parity.against(bounds)


def check_embedder(
    engine: Engine,
    chips: NDArray[np.uint8],
    expected: Outputs,
    precision: Precision,
    *,
    judged: str,
    reference: str,
) -> ParityResult:
    """The gate's verdict on one file; `judged` and `reference` are digests. Raises EngineError."""
    parity, reason = compare_engine(engine, chips, expected, precision)
    bounds = PARITY_BOUNDS[precision]
    figures = {
        "min_cosine": parity.min_cosine,
        "min_cosine_bound": bounds.cosine,
        "mean_cosine": parity.mean_cosine,
        "attention_error": parity.attention_error,
        "attention_error_bound": bounds.attention,
        "attention_chip": parity.attention_chip,
        "attention_chip_bound": bounds.attention_chip,
        "mask_error": parity.mask_error,
        "mask_error_bound": bounds.mask,
        "not_finite": float(parity.not_finite),
    }
    return ParityResult(
        passed=not reason,
        reason=reason,
        judged=judged,
        reference=reference,
        samples=parity.chips,
        figures=_finite(figures),
    )


# What another form may lose of the figures of the pairs, clean and one masked, in shares of one.
_LOST = {"accuracy": 0.003, "tar_at_fmr_0.001": 0.01}
_LOST_IN = ("clean", "one_masked")


def comparable(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return True if both forms were measured on the same pairs, as `accuracy_lost` needs."""
    lists = before.get("pairs") or {}
    return bool(lists) and not lists.keys() - (after.get("pairs") or {}).keys()


def accuracy_loss(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What a form loses beyond the bounds, in words; both are figures of mfsa-evaluate. Empty where it is within them.

    Figures that were not measured on the same lists cannot be compared, and say so.
    """
    if not comparable(before, after):
        return "the figures of both forms on the same pairs are needed: mfsa-evaluate FORM FORM --pairs"
    found = []
    for name, told in before["pairs"].items():
        for case in _LOST_IN:
            for figure, bound in _LOST.items():
                lost = told[case][figure] - after["pairs"][name][case][figure]
                if lost > bound:
                    found.append(
                        f"{name}, {case}: {figure} falls by {lost:.2%}, {bound:.1%} is allowed"
                    )
    return "; ".join(found)


_MIN_IOU: dict[Precision, float] = {"fp32": 0.99, "fp16": 0.95, "int8": 0.85}
_LANDMARK_ERROR: dict[Precision, float] = {
    "fp32": 0.005,
    "fp16": 0.02,
    "int8": 0.06,
}  # of the distance between the eyes


def check_detector(
    detector: FaceDetector,
    scene: NDArray[np.uint8],
    expected: NDArray[np.float32],
    precision: Precision,
    *,
    judged: str,
    reference: str,
) -> ParityResult:
    """The gate's verdict on a detector by the faces (N,15) that `faces_in` found in FP32. Raises EngineError."""
    found = detect_faces(detector, scene)
    iou, error = -1.0, 1.0
    if found.shape == expected.shape and np.isfinite(found).all():
        iou = float(_iou(found[:, :4], expected[:, :4]).min())
        points, wanted = found[:, 4:14].reshape(-1, 5, 2), expected[:, 4:14].reshape(-1, 5, 2)
        eyes = np.linalg.norm(wanted[:, 0] - wanted[:, 1], axis=1)
        error = float((np.linalg.norm(points - wanted, axis=2).max(axis=1) / eyes).max())
    if iou == -1.0:
        reason = f"expected {len(expected)} faces in the scene, found {len(found)}"
    elif iou < _MIN_IOU[precision] or error > _LANDMARK_ERROR[precision]:
        reason = f"boxes overlap by {iou:.3f}, landmarks are off by {error:.1%} of the distance between the eyes"
    else:
        reason = ""
    figures = {"min_iou": iou, "min_iou_bound": _MIN_IOU[precision], "landmark_error": error}
    figures["landmark_error_bound"] = _LANDMARK_ERROR[precision]
    return ParityResult(
        passed=not reason,
        reason=reason,
        judged=judged,
        reference=reference,
        samples=len(expected),
        figures=figures,
    )


def detect_faces(detector: FaceDetector, scene: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Box, landmarks and score (N,15) of each face of a picture (H,W,3), from left to right. Raises EngineError."""
    faces = sorted(detector.detect(scene), key=lambda face: float(face.box_xyxy[0]))
    return np.array([_row(face) for face in faces], np.float32).reshape(-1, 15)


def _row(face: Face) -> NDArray[np.float32]:
    return np.concatenate([face.box_xyxy, face.landmarks_xy.ravel(), [face.score]]).astype(
        np.float32
    )


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of boxes (N,4) pair by pair."""
    corner, far = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    common = np.clip(far - corner, 0, None).prod(axis=1)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1)
    return np.asarray(common / (areas - common), np.float32)


def _finite(figures: dict[str, float]) -> dict[str, float]:
    """JSON has no NaN; the largest error stands for it."""
    return {
        name: round(float(np.nan_to_num(value, nan=1.0, posinf=1.0)), 7)
        for name, value in figures.items()
    }


def load_parity(bundle: Path) -> tuple[NDArray[np.uint8], Outputs]:
    """A bundle's chips (N,112,112,3), and what its FP32 embedder says of them."""
    arrays = _load_arrays(bundle / PARITY, ("chips", *OUTPUTS))
    return arrays["chips"], {name: arrays[name] for name in OUTPUTS}


def _load_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Named arrays of an .npz file of a bundle, at most _ARRAY_BYTES_MAX; raises BundleError."""
    try:
        with open_file(path) as file:
            size = sum(entry.file_size for entry in ZipFile(file).infolist())
            if size > _ARRAY_BYTES_MAX:
                raise BundleError(
                    f"{path}: {size:,} bytes unpacked, at most {_ARRAY_BYTES_MAX:,} are accepted"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in names}
    except (BadZipFile, ValueError, KeyError, OSError) as error:
        raise BundleError(
            f"{path}: not the arrays of mfsa-bundle ({error}); make the bundle again"
        ) from error


@dataclass(frozen=True, eq=False)
class ParityReference:
    """Chips of the embedder (N,112,112,3) and what the FP32 network says of them: the bundle's own, and a site's."""

    chips: NDArray[np.uint8]
    expected: Outputs

    @classmethod
    def load(cls, bundle: Bundle, site: Path | None, max_chips: int) -> ParityReference:
        """With up to `most` chips of a site, which need ONNX Runtime. Raises ConfigError, EngineError."""
        own, expected = load_parity(bundle.path)
        if site is None:
            return cls(own, expected)
        chips = pick_faces(site, max_chips)
        more = run_chips(
            open_engine(bundle.onnx_path(EMBEDDER_NETWORK, "fp32"), threads=2), to_input(chips)
        )
        return cls(
            np.concatenate([own, chips]),
            {name: np.concatenate([expected[name], more[name]]) for name in expected},
        )


def load_scene(bundle: Path, network: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A bundle's picture, and the faces (N,15) that its FP32 detector of this name finds in it."""
    arrays = _load_arrays(bundle / SCENE, ("scene", network))
    return arrays["scene"], arrays[network]


def portrait_scene() -> NDArray[np.uint8]:
    """Both portraits side by side (256,320,3): a picture in which a detector finds two faces."""
    scene = np.full((256, 320, 3), 96, np.uint8)
    for column, portrait in enumerate((COLLINS, HOPPER)):
        picture, points = load_portrait(portrait), np.array(portrait.landmarks_xy)
        reach = float(points[1, 0] - points[0, 0]) * 2
        x, y = points.mean(axis=0)
        side = round(2 * reach)
        cut = cv2.getRectSubPix(picture, (side, round(side * 1.5)), (float(x), float(y)))
        scene[8:248, column * 160 : (column + 1) * 160] = cv2.resize(
            cut, (160, 240), interpolation=cv2.INTER_AREA
        )
    return scene


def portrait_chips() -> NDArray[np.uint8]:
    """Chips (30,112,112,3) of the public-domain portraits: plain, mirrored, dark, blurred, in false colours, with every mask.

    The false colours (BGR for RGB) are the canary: a network that takes them for the true ones says so here.
    """
    chips = []
    for portrait in (COLLINS, HOPPER):
        chip = load_chip(portrait)
        blurred = np.asarray(cv2.GaussianBlur(chip, (0, 0), 1.5), np.uint8)
        chips += [chip, chip[:, ::-1], (chip * 0.5).astype(np.uint8), blurred, chip[..., ::-1]]
        rng = np.random.default_rng(len(chips))
        chips += [
            masks.draw(chip, masks.random_style(rng, (family,)))[0] for family in masks.FAMILIES
        ]
    stacked = np.stack(chips)
    assert stacked.shape[1:] == (SIZE, SIZE, 3)
    return stacked
