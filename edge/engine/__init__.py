"""Running a network: the Engine protocol and the choice of its implementation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Engine(Protocol):
    """One loaded network. Not for several threads at once."""

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """All outputs by name for one input batch; raises EngineError."""
        ...

    def close(self) -> None: ...


def open_engine(model: Path, *, threads: int) -> Engine:
    """An ONNX file in ONNX Runtime; raises EngineError where it cannot be run here. Plans: `edge.engine.trt.open_plan`."""
    from edge.engine.ort import OrtEngine

    return OrtEngine(model, threads=threads)
