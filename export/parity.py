"""Parity gate: compare two forms of a network on the same chips and explain differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import ParityResult
from edge.chip import to_input
from edge.engine import Engine, open_engine
from edge.face.embed import OUTPUTS
from edge.values import Precision

Outputs = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ParityBounds:
    """Allowed differences of a form of the embedder; outputs but the embedding are in 0..1."""

    cosine: float  # least cosine
    attention: float  # largest error of a cell
    attention_chip: float  # largest mean error of a chip's maps
    mask: float  # largest error
    similarity: float  # largest error of the expected similarity


# In int8 a cell at the edge of a mask may change completely: maps are compared by means per chip.
PARITY_BOUNDS: dict[Precision, ParityBounds] = {
    "fp32": ParityBounds(0.9999, 1e-2, 1e-3, 1e-2, 1e-2),
    "fp16": ParityBounds(0.999, 0.1, 5e-3, 5e-2, 2e-2),
    "int8": ParityBounds(0.98, 1.0, 3e-2, 0.25, 0.1),
}
# An engine may be wrong at one batch size only; doors mostly see one face.
_BATCHES = (1, 2, 4, 16)
_EXPLAINED = 0.1  # largest share of the lost cosine that remains if a mistake explains it


@dataclass(frozen=True, slots=True)
class Parity:
    """Differences of a form of the embedder from the FP32 network; NaN counts as the worst."""

    chips: int
    min_cosine: float
    mean_cosine: float
    attention_error: float  # largest absolute difference of a cell
    attention_chip: float  # mean absolute difference on the worst chip
    mask_error: float
    similarity_error: float
    not_finite: int = 0

    def is_within(self, bounds: ParityBounds) -> bool:
        return (
            self.not_finite == 0
            and self.min_cosine >= bounds.cosine
            and self.attention_error <= bounds.attention
            and self.attention_chip <= bounds.attention_chip
            and self.mask_error <= bounds.mask
            and self.similarity_error <= bounds.similarity
        )

    @property
    def is_rounding_only(self) -> bool:
        """True if the differences are rounding only."""
        return self.is_within(PARITY_BOUNDS["fp32"])

    def describe_violations(self, bounds: ParityBounds) -> str:
        """Return what is out of bounds, for people."""
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
                f"attention wrong by {self.attention_chip:.3f} in the mean of one chip, "
                f"{bounds.attention_chip} is allowed"
            )
        if not self.mask_error <= bounds.mask:
            found.append(f"mask_worn wrong by {self.mask_error:.3f}, {bounds.mask} is allowed")
        if not self.similarity_error <= bounds.similarity:
            found.append(
                f"expected_similarity wrong by {self.similarity_error:.3f}, "
                f"{bounds.similarity} is allowed"
            )
        return ", ".join(found)

    def __str__(self) -> str:
        return (
            f"{self.chips} chips: cosine min {self.min_cosine:.6f} mean {self.mean_cosine:.6f}, "
            f"largest error of attention {self.attention_error:.2e}, "
            f"of mask_worn {self.mask_error:.2e}, "
            f"of expected_similarity {self.similarity_error:.2e}"
        )


def run_chips(
    engine: Engine, inputs: NDArray[np.float32], batches: Sequence[int] = (16,)
) -> Outputs:
    """Run network inputs (N,3,112,112) in batches of these sizes in turn; raises EngineError."""
    parts, start, sizes = [], 0, itertools.cycle(batches)
    while start < len(inputs):
        size = next(sizes)
        parts.append(engine.run(inputs[start : start + size]))
        start += size
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def row_cosines(found: NDArray[np.floating], expected: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine (N,) of each row of (N,D) arrays; -1 if it is not finite."""
    a, b = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.asarray(np.nan_to_num(cosine, nan=-1.0))


def compare_outputs(found: Outputs, expected: Outputs) -> Parity:
    """Compare the outputs of the same chips."""
    cosine = row_cosines(found["embedding"], expected["embedding"])
    attention, worn, similarity = (
        np.abs(found[name] - expected[name])
        for name in ("attention", "mask_worn", "expected_similarity")
    )
    return Parity(
        chips=len(cosine),
        min_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
        attention_error=float(attention.max()),
        attention_chip=float(attention.mean(axis=(1, 2, 3)).max()),
        mask_error=float(worn.max()),
        similarity_error=float(similarity.max()),
        not_finite=sum(int(np.count_nonzero(~np.isfinite(found[name]))) for name in OUTPUTS),
    )


def check_parity(model: Path, chips: NDArray[np.uint8], expected: Outputs) -> Parity:
    """Run an ONNX file on chips (N,112,112,3) and compare the outputs; raises EngineError."""
    return compare_outputs(run_chips(open_engine(model, threads=1), to_input(chips)), expected)


# Inputs that a wrong form may expect instead of (N,3,112,112), RGB in -1..1.
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
    """Return True if a reason names a mistake at the network's input."""
    return reason.startswith(tuple(_MISTAKES))


def _nothing(chips: NDArray[np.uint8]) -> Parity:
    """Return the worst result, for outputs that cannot be compared."""
    return Parity(len(chips), -1.0, -1.0, 1.0, 1.0, 1.0, 1.0)


def compare_engine(
    engine: Engine, chips: NDArray[np.uint8], expected: Outputs, precision: Precision
) -> tuple[Parity, str]:
    """Compare an engine on chips (N,112,112,3) with the FP32 outputs.

    The reason is empty if all differences are within bounds. Raises EngineError.
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
    if parity.is_within(bounds):
        return parity, ""
    for words, mistaken in _MISTAKES.items():
        if 1 - compare_outputs(
            run_chips(engine, mistaken(inputs)), expected
        ).mean_cosine < _EXPLAINED * (1 - parity.mean_cosine):
            return parity, f"{words} ({parity.describe_violations(bounds)})"
    distinct, wanted = (_distinct_rows(part["embedding"]) for part in (found, expected))
    if distinct < wanted:  # a routed network has two branches, and one of them may work
        return (
            parity,
            f"it has {distinct} different outputs for {len(chips)} chips, expected {wanted}: "
            f"a layer is dead ({parity.describe_violations(bounds)})",
        )
    return parity, parity.describe_violations(bounds)


def _distinct_rows(rows: NDArray[np.float32]) -> int:
    return len(np.unique(np.round(rows, 6), axis=0))


def check_embedder(
    engine: Engine,
    chips: NDArray[np.uint8],
    expected: Outputs,
    precision: Precision,
    *,
    judged: str,
    reference: str,
) -> ParityResult:
    """Return the parity result of a file with its digests; raises EngineError."""
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
        "similarity_error": parity.similarity_error,
        "similarity_error_bound": bounds.similarity,
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


# Allowed loss of verification figures, clean and one masked, as shares of one.
_LOST = {"accuracy": 0.003, "tar_at_fmr_0.001": 0.01}
_LOST_IN = ("clean", "one_masked")


def is_comparable(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return True if both forms were measured on the same pairs, as `accuracy_lost` needs."""
    lists = before.get("pairs") or {}
    return bool(lists) and not lists.keys() - (after.get("pairs") or {}).keys()


def accuracy_loss(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return what a form loses beyond the bounds, for people; empty within them.

    Both arguments are figures of mfsa-evaluate, which must be measured on the same lists.
    """
    if not is_comparable(before, after):
        return "no figures of both forms on the same pairs; run mfsa-evaluate FORM FORM --pairs"
    found = []
    for name, figures in before["pairs"].items():
        for case in _LOST_IN:
            for figure, bound in _LOST.items():
                lost = figures[case][figure] - after["pairs"][name][case][figure]
                if lost > bound:
                    found.append(
                        f"{name}, {case}: {figure} falls by {lost:.2%}, {bound:.1%} is allowed"
                    )
    return "; ".join(found)


def _finite(figures: dict[str, float]) -> dict[str, float]:
    """Replace NaN and infinity, which JSON lacks, by the largest error."""
    return {
        name: round(float(np.nan_to_num(value, nan=1.0, posinf=1.0)), 7)
        for name, value in figures.items()
    }
