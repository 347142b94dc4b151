"""Faithfulness of maps and explanations: deletion, insertion, stability under small changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration import occluders
from calibration.evaluation.pair_sets import PairSet
from calibration.scores import require_outputs
from edge import masks
from edge.chip import to_input
from edge.engine import Engine
from edge.face.explanation import Explainer

_CHIPS = 96
_CELLS = 14  # grid of the maps, 8 px per cell
_BLOCK = 2  # cells per side that occlusion sensitivity hides at once
_STEPS = 14
_SHARES = np.linspace(0, 1, _STEPS + 1)
PROBES = ("clean", "masked", "places")  # bare, masks-v1, occluders in varying places
_ROUNDS = 1000
_STABLE = 0.9

Chips = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FaithfulnessCurves:
    """Mean scores against the template (15,) by share of changed cells, for each order."""

    deletion: dict[str, NDArray[np.float64]]
    insertion: dict[str, NDArray[np.float64]]
    figures: dict[str, Any]


def run(
    engine: Engine, pairs: PairSet, *, probes: str = "clean", explainer: Explainer | None = None
) -> FaithfulnessCurves:
    """Score mated probes against their templates while cells are hidden or revealed.

    `probes` is one of PROBES; with an explainer the order of its contributions is measured too.

    V. Petsiuk et al., "RISE", BMVC 2018, for the curves; M. D. Zeiler and R. Fergus, 2014, for
    occlusion sensitivity. Cells are hidden by the chip's own heavy blur: a flat patch would be a
    new feature.
    """
    chips, reference = _choose_chips(pairs, probes)
    templates, _ = _run(engine, reference)
    embedding, maps = _run(engine, chips)
    partial_scores = _PartialScores(engine, chips, embedding, templates)
    own = maps[:, 0].reshape(len(chips), -1)
    importance: dict[str, NDArray[np.floating]] = {
        "map": own,
        "constant": _mean_of_others(own),
        "random": np.random.default_rng(0).random((len(chips), _CELLS**2)),
        "occlusion": _occlusion(partial_scores),
    }
    if explainer is not None:
        split = importance["split"] = _contributions(explainer, chips, templates)
        importance["constant split"] = _mean_of_others(split)
    deletion, insertion = (
        {name: _curve(partial_scores, order, reveal) for name, order in importance.items()}
        for reveal in (False, True)
    )
    figures = {
        "chips": len(chips),
        "masked": probes == "masked",
        "probes": probes,
        **_area_figures(deletion, insertion),
        "stability": _stability(engine, chips, embedding, maps),
    }
    figures["verdict"] = verdict(figures)
    return FaithfulnessCurves(
        {n: c.mean(axis=0) for n, c in deletion.items()},
        {n: c.mean(axis=0) for n, c in insertion.items()},
        figures,
    )


def _mean_of_others(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the mean (N,196) over all other chips: a guess without this chip."""
    return np.asarray((values.sum(axis=0) - values) / max(1, len(values) - 1))


def _contributions(
    explainer: Explainer, chips: Chips, templates: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the contributions of cells to the scores (N,196), on the grid of the maps."""
    rows = []
    for chip, template in zip(chips, templates, strict=True):
        cells = explainer.explain(chip, template).cells
        block = _CELLS // len(cells)
        rows.append(cells.repeat(block, 0).repeat(block, 1).reshape(-1))
    return np.stack(rows)


def _choose_chips(pairs: PairSet, probes: str) -> tuple[Chips, Chips]:
    """Return probes and templates of evenly spaced mated pairs."""
    mated = np.flatnonzero(pairs.mated)
    chosen = mated[np.linspace(0, len(mated) - 1, min(_CHIPS, len(mated))).astype(int)]
    draw: dict[str, Callable[[NDArray[np.uint8], str], NDArray[np.uint8]]] = {
        "clean": lambda chip, name: chip,
        "masked": lambda chip, name: masks.draw_protocol(chip, name)[0],
        "places": lambda chip, name: occluders.draw_in_place(chip, name)[0],
    }
    chips = [draw[probes](pairs.chip(k), pairs.names[k]) for k in pairs.second[chosen]]
    return np.stack(chips), np.stack([pairs.chip(k) for k in pairs.first[chosen]])


def _area_figures(
    deletion: dict[str, NDArray[np.float64]], insertion: dict[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Return the areas under the curves, and the gains of the map over other orders.

    Gains are positive if the order of the map matters more; 95 % by bootstrap over chips. The gain
    of a split is that over its own constant.
    """
    hidden = {name: curve.mean(axis=1) for name, curve in deletion.items()}
    shown = {name: curve.mean(axis=1) for name, curve in insertion.items()}

    def gains(order: str, other: str) -> dict[str, dict[str, float]]:
        return {
            "deletion": _gain(hidden[other] - hidden[order]),
            "insertion": _gain(shown[order] - shown[other]),
        }

    others = [name for name in hidden if name not in ("map", "constant split")]
    return {
        "deletion_area": {name: round(float(v.mean()), 4) for name, v in hidden.items()},
        "insertion_area": {name: round(float(v.mean()), 4) for name, v in shown.items()},
        "gain_over": {other: gains("map", other) for other in others},
        **({"split_gain": gains("split", "constant split")} if "split" in hidden else {}),
    }


def verdict(figures: dict[str, Any]) -> str:
    """Return in words if the map may be shown as a reason."""
    shaken = figures["stability"]
    if any(row["map_correlation"] is None for row in shaken.values()):
        return "This network has no map of its own: there is nothing to show as a reason."
    gains = figures["gain_over"]

    def better(than: str) -> bool:
        return all(gain["low"] > 0 for gain in gains[than].values())

    if not better("random"):
        text = (
            "Do not show the map as a reason: what it marks matters no more than cells at random."
        )
    elif not better("constant"):
        text = (
            "Show the map as where the network may look, not as a reason: one fixed map for all "
            "faces does as well."
        )
    else:
        text = (
            "The map may be shown as where the decision looked: what it marks matters more than "
            "one fixed map for all faces."
        )
    unsteady = [name for name, row in shaken.items() if row["map_correlation"] < _STABLE]
    text += (
        f" It changes under: {', '.join(unsteady)}."
        if unsteady
        else " It is steady under small changes."
    )
    if gains["occlusion"]["deletion"]["high"] < 0:
        text += (
            " Occlusion sensitivity ranks cells better: the map says which regions were let "
            "through, not which decided."
        )
    return text + _split_words(figures)


def _split_words(figures: dict[str, Any]) -> str:
    if "split_gain" not in figures:
        return ""
    is_better = all(gain["low"] > 0 for gain in figures["split_gain"].values())
    return (
        " The contributions to the score are of this face: their order matters more than "
        + "that of their mean over faces."
        if is_better
        else " The contributions to the score order cells no better than their mean over faces."
    )


def _run(engine: Engine, chips: Chips) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    parts = [
        require_outputs(engine.run(to_input(chips[i : i + 64])), "embedding", "attention")
        for i in range(0, len(chips), 64)
    ]
    embedding = np.concatenate([part["embedding"] for part in parts])
    return embedding / np.linalg.norm(embedding, axis=1, keepdims=True), np.concatenate(
        [part["attention"] for part in parts]
    )


class _PartialScores:
    """Scores of chips (N,112,112,3) against templates (N,D) with some cells blurred.

    Each set of blurred cells of a chip runs once: all orders share the unchanged chip, whose
    embedding (N,D) is given, and the completely blurred one.
    """

    def __init__(
        self,
        engine: Engine,
        chips: Chips,
        embedding: NDArray[np.float32],
        templates: NDArray[np.float32],
    ) -> None:
        self._engine = engine
        self._chips = chips
        self._blurred = np.stack([cv2.GaussianBlur(chip, (0, 0), 9) for chip in chips])
        self._templates = templates
        unchanged = np.zeros(_CELLS**2, bool).tobytes()
        self._known: dict[tuple[int, bytes], np.float32] = {
            (i, unchanged): score for i, score in enumerate((embedding * templates).sum(axis=1))
        }

    def __len__(self) -> int:
        return len(self._chips)

    def score(self, hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the scores (N,) with the cells `hidden` (N,196) blurred."""
        keys = [(i, cells.tobytes()) for i, cells in enumerate(hidden)]
        rows = [i for i, key in enumerate(keys) if key not in self._known]
        if rows:
            covered = _cover(self._chips[rows], self._blurred[rows], hidden[rows])
            embedding, _ = _run(self._engine, covered)
            found = (embedding * self._templates[rows]).sum(axis=1)
            self._known.update(zip([keys[i] for i in rows], found, strict=True))
        return np.array([self._known[key] for key in keys])


def _cover(before: Chips, after: Chips, cells: NDArray[np.bool_]) -> Chips:
    """Return `before` with the cells (N,196) of `after`."""
    grid = (
        cells.reshape(-1, _CELLS, _CELLS)
        .repeat(before.shape[1] // _CELLS, 1)
        .repeat(before.shape[2] // _CELLS, 2)
    )
    return np.where(grid[..., None], after, before)


def _curve(
    partial_scores: _PartialScores, importance: NDArray[np.floating], reveal: bool
) -> NDArray[np.float64]:
    """Return scores (N,15) while cells are blurred, or revealed, in order of importance."""
    rank = (-importance).argsort(axis=1, kind="stable").argsort(axis=1)
    columns = [
        partial_scores.score((rank < round(share * _CELLS**2)) != reveal) for share in _SHARES
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _occlusion(partial_scores: _PartialScores) -> NDArray[np.float64]:
    """Return the fall of the score (N,196) if one block of cells is hidden."""
    count = len(partial_scores)
    blocks = _CELLS // _BLOCK
    baseline = partial_scores.score(np.zeros((count, _CELLS**2), bool))
    fall = np.zeros((count, _CELLS, _CELLS))
    for row in tqdm(range(blocks), desc="occlusion", disable=None):
        for column in range(blocks):
            cells = np.zeros((_CELLS, _CELLS), bool)
            cells[row * _BLOCK : (row + 1) * _BLOCK, column * _BLOCK : (column + 1) * _BLOCK] = True
            hidden = partial_scores.score(np.broadcast_to(cells.ravel(), (count, _CELLS**2)))
            fall[:, cells] = (baseline - hidden)[:, None]
    return fall.reshape(count, -1)


def _gain(per_chip: NDArray[np.float64]) -> dict[str, float]:
    rng = np.random.default_rng(0)
    means = per_chip[rng.integers(0, len(per_chip), (_ROUNDS, len(per_chip)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {
        "mean": round(float(per_chip.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def _stability(
    engine: Engine, chips: Chips, embedding: NDArray[np.float32], maps: NDArray[np.float32]
) -> dict[str, dict[str, float | None]]:
    """Return correlation of A_u and cosine of the embedding after small changes."""
    cell = chips.shape[1] // _CELLS
    # A shift by one cell moves the map by one cell, so that both maps can be compared.
    shaken = {
        "shift of a cell": (np.roll(chips, cell, axis=2), 1),
        "20 % darker": ((chips * 0.8).astype(np.uint8), 0),
        "20 % brighter": (np.clip(chips * 1.2, 0, 255).astype(np.uint8), 0),
    }
    stability = {}
    for name, (changed, moved) in shaken.items():
        other, other_maps = _run(engine, changed)
        inner = slice(1, _CELLS - 1)
        again = np.roll(other_maps[:, 0], -moved, axis=2)[:, :, inner]
        stability[name] = {
            "map_correlation": _correlation(maps[:, 0][:, :, inner], again),
            "embedding_cosine": round(float((embedding * other).sum(axis=1).mean()), 4),
        }
    return stability


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float | None:
    """Return the mean Pearson correlation of maps (N,rows,columns); None for flat maps."""
    a, b = (m.reshape(len(m), -1) - m.mean(axis=(1, 2))[:, None] for m in (a, b))
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    varied = scale > 1e-6
    if not varied.any():
        return None
    return round(float(np.mean((a * b).sum(axis=1)[varied] / scale[varied])), 4)
