"""Embedder: chips to probes. Outputs are checked, embeddings are scaled to unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.chip import to_input
from edge.engine import Engine
from edge.errors import EngineError
from edge.values import Probe

CHIP_SHAPE = (112, 112, 3)
OUTPUTS = ("embedding", "attention", "mask_worn")


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

        Raises EngineError, also if an output is missing or not finite.
        """
        if not len(chips):
            return []
        outputs = self._engine.run(to_input(chips))
        missing = [name for name in OUTPUTS if name not in outputs]
        if missing:
            raise EngineError(
                f"expected the outputs {', '.join(OUTPUTS)}, missing {', '.join(missing)}: "
                "not an MFSA embedder"
            )
        embedding, attention, mask_worn = (outputs[name] for name in OUTPUTS)
        norm = np.linalg.norm(embedding, axis=1, keepdims=True)
        is_finite = all(np.isfinite(values).all() for values in (norm, attention, mask_worn))
        if not is_finite or not (norm > 0).all():
            raise EngineError(
                "the embedder returned values that are not finite, or an embedding of zeros: "
                "the engine is broken"
            )
        unit = embedding / norm
        return [Probe(unit[i], attention[i], float(mask_worn[i])) for i in range(len(chips))]
