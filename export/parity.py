"""Whether two forms of one network say the same of the same chips. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import masks
from edge.chip import SIZE, to_input
from edge.demo.portraits import COLLINS, HOPPER, load_chip
from edge.engine import open_engine

MIN_COSINE = 0.9999
MAX_ERROR = 1e-2  # of attention and mask_worn, both 0..1


@dataclass(frozen=True, slots=True)
class Parity:
    chips: int
    min_cosine: float
    mean_cosine: float
    attention_error: float  # largest absolute difference
    mask_error: float

    @property
    def ok(self) -> bool:
        """Within the bounds below which a difference is rounding; false for values that are no numbers."""
        return self.min_cosine > MIN_COSINE and self.attention_error < MAX_ERROR and self.mask_error < MAX_ERROR

    def __str__(self) -> str:
        return (
            f"{self.chips} chips: cosine min {self.min_cosine:.6f} mean {self.mean_cosine:.6f}, "
            f"largest error of attention {self.attention_error:.2e}, of mask_worn {self.mask_error:.2e}"
        )


def check_parity(model: Path, chips: NDArray[np.uint8], expected: dict[str, NDArray[np.float32]], batch: int = 64) -> Parity:
    """Run an ONNX file on chips (N,112,112,3) and compare with the expected outputs; raises EngineError."""
    engine = open_engine(model, kind="ort", threads=1)
    parts = [engine.run(to_input(chips[i : i + batch])) for i in range(0, len(chips), batch)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in expected}
    a, b = found["embedding"], expected["embedding"]
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return Parity(
        chips=len(chips),
        min_cosine=float(np.nan_to_num(cosine, nan=-1.0).min()),
        mean_cosine=float(np.nan_to_num(cosine, nan=-1.0).mean()),
        attention_error=float(np.abs(found["attention"] - expected["attention"]).max()),
        mask_error=float(np.abs(found["mask_worn"] - expected["mask_worn"]).max()),
    )


def portrait_chips() -> NDArray[np.uint8]:
    """Chips (26,112,112,3) of the public-domain portraits: plain, with every kind of mask, dark and mirrored."""
    chips = []
    for portrait in (COLLINS, HOPPER):
        chip = load_chip(portrait)
        chips += [chip, chip[:, ::-1], (chip * 0.5).astype(np.uint8)]
        rng = np.random.default_rng(len(chips))
        chips += [masks.draw(chip, masks.random_style(rng, (family,)))[0] for family in masks.FAMILIES]
    stacked = np.stack(chips)
    assert stacked.shape[1:] == (SIZE, SIZE, 3)
    return stacked
