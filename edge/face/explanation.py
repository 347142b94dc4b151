"""Split of a score over the cells of the face, and scores with one region closed.

The last layers of an embedder are linear, so its embedding e is exactly a sum: e = sum_k p_k + b,
with the part p_k by which cell k differs from that of the average face, and the embedding b of the
average face. The score s = e . t / |e| against a template t of unit norm is then
sum_k p_k . t / |e| + b . t / |e|. This accounts for the score; it does not say what caused it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError
from edge.face.regions import CELLS, REGIONS

# cells     (N,K,D) parts of the embedding, by cell in rows of a square grid
# bias      (N,D) embedding of the average face
# closed    (N,R,D) embeddings with the 14x14 features of one region set to 0
# regions   (N,R,14,14) the regions, 0 or 1, which add up to 1
# gated     (N,) 1 if A_u gated the features, 0 if the encoder saw all of them
OUTPUTS = ("cells", "bias", "closed", "regions", "gated")


@dataclass(frozen=True, slots=True, eq=False)
class ScoreExplanation:
    """Score of a chip against a template, split over regions and cells of the chip."""

    score: float  # of the FP32 network: the sum of `regions` and `bias`
    regions: Mapping[str, float]  # by names of REGIONS
    bias: float  # of the average face
    cells: NDArray[np.float32]  # (7,7) or (14,14), contributions; their sum plus bias is the score
    without: Mapping[str, float]  # score with a region closed; regions of at least one cell
    is_gated: bool  # False: a bare face, whose embedding does not use A_u


def explain_score(
    outputs: Mapping[str, NDArray[np.float32]], template: NDArray[np.float32]
) -> ScoreExplanation:
    """Explain the score of the first chip of the network's outputs against a template (D,).

    The template has unit norm. Raises EngineError if an output is missing or not finite.
    """
    missing = [name for name in OUTPUTS if name not in outputs]
    if missing:
        raise EngineError(
            f"expected the outputs {', '.join(OUTPUTS)}, missing {', '.join(missing)}"
        )
    cells, bias, closed, regions = (
        np.asarray(outputs[name][0], np.float64) for name in ("cells", "bias", "closed", "regions")
    )
    if bias.shape != template.shape:
        raise EngineError(
            f"the explanation has {len(bias)} dimensions, the template {len(template)}: "
            "they are of different models"
        )
    unit = template.astype(np.float64)
    norm = float(np.linalg.norm(cells.sum(axis=0) + bias))
    if not (np.isfinite(norm) and norm > 0 and np.isfinite(closed).all()):
        raise EngineError("the explanation is not finite, or its embedding is zero")
    shares = cells @ unit / norm
    size = round(len(shares) ** 0.5)
    grid = shares.reshape(size, size)
    by_region = (_coarsen(regions, size) * grid).sum(axis=(1, 2))
    bias_share = float(bias @ unit) / norm
    lengths = np.linalg.norm(closed, axis=1)
    scores = closed @ unit / np.where(lengths > 0, lengths, 1)
    return ScoreExplanation(
        float(shares.sum()) + bias_share,
        dict(zip(REGIONS, by_region.tolist(), strict=True)),
        bias_share,
        grid.astype(np.float32),
        {
            name: float(score)
            for name, score, region in zip(REGIONS, scores, regions, strict=True)
            if region.any()
        },
        bool(outputs["gated"][0] > 0),
    )


def _coarsen(regions: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the share of each region (R,14,14) in the cells of a grid (R,size,size)."""
    block = CELLS // size
    blocks = regions.reshape(len(regions), size, block, size, block)
    return np.asarray(blocks.mean(axis=(2, 4)))


class Explainer:
    """Explains scores by the network `explanation.onnx` of a bundle."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def explain(self, chip: NDArray[np.uint8], template: NDArray[np.float32]) -> ScoreExplanation:
        """Explain the score of a chip (112,112,3) uint8 BGR against a template (D,).

        Raises EngineError.
        """
        return explain_score(self._engine.run(to_input(chip[None])), template)

    def close(self) -> None:
        self._engine.close()
