"""Localization of the attention maps, against the drawn coverage and the best constant map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from calibration import occluders, scores
from calibration.evaluation.pair_sets import PairSet
from edge import masks
from edge.chip import SIZE
from edge.engine import Engine

Maps = NDArray[np.float32]

_GRID = 56  # maps and truth are compared at half the chip's resolution
_CHIPS = 1200
_MIN_PIXELS = 20  # of each kind for the AUC of a picture


def face_area() -> NDArray[np.bool_]:
    """Return the pixels (56,56) of a chip that are nearly always face: an ellipse."""
    y, x = (np.indices((_GRID, _GRID)) + 0.5) * SIZE / _GRID
    return np.asarray(((x - 56) / 33) ** 2 + ((y - 70) / 42) ** 2 <= 1)


@dataclass(frozen=True, eq=False)
class AttentionSamples:
    """Maps (N,3,56,56) of chips, and the coverage of their faces (N,56,56), 0..1."""

    maps: Maps
    truth: Maps


def run(engine: Engine, pairs: PairSet) -> dict[str, Any]:
    """Measure each condition on evenly spaced chips of a set.

    Constant maps are computed on half of the chips, AUCs on the other half.
    """
    rows = np.linspace(0, len(pairs.names) - 1, min(_CHIPS, len(pairs.names))).astype(np.int64)
    name = pairs.names

    def masked(
        family: str | None,
    ) -> Callable[[NDArray[np.uint8], int], tuple[NDArray[np.uint8], Maps]]:
        return lambda chip, i: masks.draw_protocol(chip, name[i], family)

    clean = sample_attention(
        engine,
        pairs,
        rows,
        lambda chip, i: (chip, np.zeros((SIZE, SIZE), np.float32)),
        "maps, clean",
    )
    figures: dict[str, Any] = {
        "chips": len(rows),
        "places": occluders.PLACES_PROTOCOL,
        "masks": masks.PROTOCOL,
        "clean": measure_clean(clean),
    }
    conditions = {
        "in_places": lambda chip, i: occluders.draw_in_place(chip, name[i])[:2],
        "exam_masks": masked(None),
        **{f"unseen:{family}": masked(family) for family in masks.HELD_OUT},
    }
    for title, draw in conditions.items():
        figures[title] = measure_covered(
            sample_attention(engine, pairs, rows, draw, f"maps, {title}")
        )
    return figures


def sample_attention(
    engine: Engine,
    pairs: PairSet,
    rows: NDArray[np.int64],
    draw: Callable[[NDArray[np.uint8], int], tuple[NDArray[np.uint8], Maps]],
    what: str,
) -> AttentionSamples:
    truths: list[Maps] = []

    def chip(k: int) -> NDArray[np.uint8]:
        drawn, truth = draw(pairs.chip(rows[k]), int(rows[k]))
        small = cv2.resize(truth, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        truths.append(np.asarray(small, np.float32))
        return drawn

    attention = scores.embed_chips(engine, len(rows), chip, what=what, keep=("attention",))[
        "attention"
    ]
    return AttentionSamples(np.stack([enlarge(maps) for maps in attention]), np.stack(truths))


def enlarge(maps: Maps) -> Maps:
    """Enlarge maps (3,14,14) to (3,56,56)."""
    large = cv2.resize(maps.transpose(1, 2, 0), (_GRID, _GRID), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large.transpose(2, 0, 1), np.float32)


def measure_clean(samples: AttentionSamples) -> dict[str, float | None]:
    """Measure A_u on bare faces: lower to upper half, and face to border."""
    face = face_area()
    rows = (np.arange(_GRID) + 0.5) * SIZE / _GRID
    upper, lower = face & (rows < 72)[:, None], face & (rows >= 72)[:, None]
    unmasked = samples.maps[:, 0]
    return {
        "lower_to_upper": _round(unmasked[:, lower].mean() / max(1e-9, unmasked[:, upper].mean())),
        "face": _round(unmasked[:, face].mean()),
        "border": _round(unmasked[:, ~face].mean()),
        "mask_map_on_face": _round(samples.maps[:, 1][:, face].mean()),
        "background_map_on_face": _round(samples.maps[:, 2][:, face].mean()),
    }


def measure_covered(samples: AttentionSamples) -> dict[str, Any]:
    """Measure the AUC of A_m for occluders and of A_u for skin, and ratios of the maps.

    Each AUC is compared with the best constant map.
    """
    face, half = face_area(), np.arange(len(samples.truth)) % 2 == 0
    covered = samples.truth > 0.5
    skin = face & (samples.truth < 0.1)
    unmasked, mask, background = samples.maps.transpose(1, 0, 2, 3)
    figures: dict[str, Any] = {
        "covered_area": _round(covered.mean()),
        "skin_area": _round(skin.mean()),
    }
    for name, values, wanted in (("mask_map", mask, covered), ("unmasked_map", unmasked, skin)):
        # Constant maps are computed on one half of the chips and measured on the other.
        constant = max(
            pixel_auc(np.broadcast_to(still, wanted[~half].shape), wanted[~half])
            for still in (values[half].mean(axis=0), wanted[half].mean(axis=0))
        )
        own = pixel_auc(values[~half], wanted[~half])
        figures[f"{name}_auc"] = {
            "per_image": _round(own),
            "best_constant_map": _round(constant),
            "gain": _round(own - constant),
        }
    figures |= {
        "unmasked_on_cover_to_skin": _round(
            unmasked[covered].mean() / max(1e-9, unmasked[skin].mean())
        ),
        "unmasked_on_cover_to_skin_whole_cells": _round(
            _whole_cells(unmasked, covered) / max(1e-9, _whole_cells(unmasked, skin))
        ),
        "precision": _round((unmasked * skin).sum() / max(1e-9, unmasked.sum())),
        "leak_to_cover": _round((unmasked * covered).sum() / max(1e-9, unmasked.sum())),
        "overlap": _round(
            np.minimum(unmasked, mask).sum() / max(1e-9, np.maximum(unmasked, mask).sum())
        ),
        "means_on_skin": [_round(m[skin].mean()) for m in (unmasked, mask, background)],
        "means_on_cover": [_round(m[covered].mean()) for m in (unmasked, mask, background)],
        "means_on_rest": [_round(m[~face & ~covered].mean()) for m in (unmasked, mask, background)],
    }
    return figures


def _whole_cells(values: Maps, wanted: NDArray[np.bool_]) -> float:
    """Return the mean over map cells that are completely inside.

    A map of 14x14 cannot follow an edge within a cell.
    """
    cell = _GRID // 14
    inside = (
        wanted.reshape(len(wanted), 14, cell, 14, cell)
        .all(axis=(2, 4))
        .repeat(cell, 1)
        .repeat(cell, 2)
    )
    return float(values[inside].mean()) if inside.any() else float("nan")


def pixel_auc(values: Maps, wanted: NDArray[np.bool_]) -> float:
    """Return the mean area under the ROC curve of pixels over pictures (Mann-Whitney)."""
    found = []
    for value, want in zip(
        values.reshape(len(values), -1), wanted.reshape(len(wanted), -1), strict=True
    ):
        inside = int(want.sum())
        outside = want.size - inside
        if min(inside, outside) >= _MIN_PIXELS:
            found.append(
                (rankdata(value)[want].sum() - inside * (inside + 1) / 2) / (inside * outside)
            )
    return float(np.mean(found)) if found else float("nan")


def _round(value: float) -> float | None:
    """Round for JSON, which has no NaN."""
    return round(float(value), 4) if np.isfinite(value) else None
