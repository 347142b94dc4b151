"""Attention maps and explanation of a decision: shares in numbers and an overlay on the chip."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.face.explanation import ScoreExplanation
from edge.face.regions import LANDMARK_REGIONS
from edge.values import Probe

_MAPS = ("face", "mask", "background")
_ADDS_BGR, _TAKES_BGR = (np.array(c, np.float32) for c in ((60, 170, 250), (220, 90, 170)))
_COLOURS_BGR = np.array([(80, 200, 60), (60, 60, 230), (200, 140, 40)], np.float32)


def attention_shares(probe: Probe) -> dict[str, float]:
    """Return the shares of the unmasked attention map on regions, and the mean of each map.

    The shares on eyes, nose, mouth and the rest of the chip add up to 1.
    """
    unmasked = probe.attention[0]
    total = float(unmasked.sum()) or 1.0
    shares = {
        f"on_{name}": round(float(unmasked[top:bottom, left:right].sum()) / total, 4)
        for name, (top, bottom, left, right) in LANDMARK_REGIONS.items()
    }
    shares["on_rest"] = round(1 - sum(shares.values()), 4)
    means = probe.attention.mean(axis=(1, 2))
    named = zip(_MAPS, means, strict=True)
    return {**shares, **{f"mean_{name}": round(float(mean), 4) for name, mean in named}}


def explanation_fields(explanation: ScoreExplanation) -> dict[str, Any]:
    """Return the terms of a score: those of regions and `bias` add up to `score`.

    `without` has the scores with one region closed at the gate.
    """
    return {
        "score": round(explanation.score, 4),
        **{name: round(value, 4) for name, value in explanation.regions.items()},
        "bias": round(explanation.bias, 4),
        "without": {name: round(value, 4) for name, value in explanation.without.items()},
        "attention_used": explanation.is_gated,
    }


def overlay(
    chip: NDArray[np.uint8],
    attention: NDArray[np.float32],
    explanation: ScoreExplanation | None = None,
) -> NDArray[np.uint8]:
    """Return the chip next to a tinted copy (112,224,3): face green, mask red, background blue.

    `attention` has the maps (3,14,14). With an explanation a third picture (112,336,3) shows the
    contributions of cells to the score: orange adds to it, violet takes from it, and the strongest
    cell has the full colour.
    """
    size = chip.shape[1::-1]
    maps = [cv2.resize(each, size, interpolation=cv2.INTER_CUBIC) for each in attention]
    tint = np.stack(maps, axis=-1).clip(0, 1) @ _COLOURS_BGR
    tinted = chip.astype(np.float32) * 0.5 + tint * 0.5
    pictures = [chip, tinted.clip(0, 255).astype(np.uint8)]
    if explanation is not None:
        pictures.append(_tint_contributions(chip, explanation))
    return np.hstack(pictures)


def _tint_contributions(
    chip: NDArray[np.uint8], explanation: ScoreExplanation
) -> NDArray[np.uint8]:
    """Return a grey copy of a chip (112,112,3), tinted by the contributions of cells."""
    cells = explanation.cells / (float(np.abs(explanation.cells).max()) or 1.0)
    # Cells keep their edges: between them nothing is known.
    grid = cv2.resize(cells, chip.shape[1::-1], interpolation=cv2.INTER_NEAREST)[..., None]
    colour = np.where(grid > 0, _ADDS_BGR, _TAKES_BGR)
    grey = cv2.cvtColor(cv2.cvtColor(chip, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    strength = 0.75 * np.abs(grid)
    tinted = grey.astype(np.float32) * (1 - strength) + colour * strength
    return np.asarray(tinted.clip(0, 255), np.uint8)
