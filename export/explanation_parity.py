"""Parity gate of `explanation.onnx`: its parts must add up to the embeddings of the embedder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.bundle import ParityResult
from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError
from edge.face.explanation import OUTPUTS

_COSINE_MIN = 0.9999  # that of FP32 forms of an embedder


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
    sums = np.stack(found).astype(np.float64)
    if sums.shape != embeddings.shape:
        reason, cosine = f"its parts have {sums.shape[1]} dimensions", -1.0
    else:
        lengths = np.linalg.norm(sums, axis=1) * np.linalg.norm(embeddings, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosines = (sums * embeddings).sum(axis=1) / lengths
        cosine = float(np.nan_to_num(cosines, nan=-1.0).min())
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
