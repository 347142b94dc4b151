"""Embedder: chips to probes. Outputs are checked, embeddings are scaled to unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError
from edge.values import Probe

CHIP_SHAPE = (112, 112, 3)
OUTPUTS = ("embedding", "attention", "mask_worn", "expected_similarity")
_ROUNDING = 0.01  # of reduced precision


class Embedder:
    """Computes the probes of chips, one batch per call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        self._engine.close()

    def dimension(self) -> int:
        """Return the length of an embedding; raises EngineError."""
        (probe,) = self.embed(np.zeros((1, *CHIP_SHAPE), np.uint8))
        return len(probe.embedding)

    def embed(self, chips: NDArray[np.uint8]) -> list[Probe]:
        """Return one probe per chip of (N,112,112,3) uint8 BGR.

        Raises EngineError, also if an output is missing, not finite or outside its range.
        """
        if not len(chips):
            return []
        outputs = self._engine.run(to_input(chips))
        missing = [name for name in OUTPUTS if name not in outputs]
        if missing:
            raise EngineError(
                f"embedder refused: expected the outputs {', '.join(OUTPUTS)}, missing "
                f"{', '.join(missing)}: it is no MFSA embedder, or of an older version"
            )
        embedding, attention, mask_worn, similarity = (outputs[name] for name in OUTPUTS)
        norm = np.linalg.norm(embedding, axis=1, keepdims=True)
        parts = (norm, attention, mask_worn, similarity)
        if not all(np.isfinite(values).all() for values in parts) or not (norm > 0).all():
            raise EngineError(
                "the embedder returned values that are not finite, or an embedding of zeros: "
                "the engine is broken"
            )
        _check_range(similarity)
        similarity = similarity.clip(0, 1)
        unit = embedding / norm
        return [
            Probe(unit[i], attention[i], float(mask_worn[i]), float(similarity[i]))
            for i in range(len(chips))
        ]


def _check_range(similarity: NDArray[np.float32]) -> None:
    """Raise EngineError for an expected similarity outside 0..1, beyond rounding."""
    least, most = float(similarity.min()), float(similarity.max())
    if least < -_ROUNDING or most > 1 + _ROUNDING:
        raise EngineError(
            f"the embedder returned an expected_similarity of {least:g} to {most:g}, expected 0 to "
            "1: the engine is broken"
        )
