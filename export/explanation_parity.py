"""Parity gate of `explanation.onnx`: its parts must add up to the embeddings of the embedder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.bundle import ParityResult
from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError
from edge.face.explanation import OUTPUTS
from export.parity import PARITY_BOUNDS, row_cosines

_COSINE_MIN = PARITY_BOUNDS["fp32"].cosine


def check_explanation(
    engine: Engine,
    chips: NDArray[np.uint8],
    embeddings: NDArray[np.float32],
    *,
    judged: str,
    reference: str,
) -> ParityResult:
    """Compare sums of parts with the embeddings (N,D) of chips (N,112,112,3) by the FP32 embedder.

    `judged` and `reference` are the digests of both files. Raises EngineError if it cannot run.
    """
    found = []
    for chip in chips:
        outputs = engine.run(to_input(chip[None]))
        missing = [name for name in OUTPUTS if name not in outputs]
        if missing:
            raise EngineError(f"not a network of mfsa-export --explanation: no {missing[0]}")
        found.append(outputs["cells"][0].sum(axis=0) + outputs["bias"][0])
    sums = np.stack(found)
    if sums.shape != embeddings.shape:
        reason, cosine = f"its parts have {sums.shape[1]} dimensions", -1.0
    else:
        cosine = float(row_cosines(sums, embeddings).min())
        reason = "" if cosine >= _COSINE_MIN else "it is of another network"
    if reason:
        reason += f": its parts do not add up to the embeddings (cosine {cosine:.4f})"
    return ParityResult(
        passed=not reason,
        reason=reason,
        judged=judged,
        reference=reference,
        samples=len(chips),
        figures={"min_cosine": round(cosine, 7), "min_cosine_bound": _COSINE_MIN},
    )
