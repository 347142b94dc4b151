"""Inference engines: the Engine protocol and its factory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Engine(Protocol):
    """Loaded network; not thread-safe."""

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return all outputs by name for one input batch; raises EngineError."""
        ...

    def close(self) -> None: ...


def open_engine(model: Path, *, threads: int) -> Engine:
    """Open an ONNX file in ONNX Runtime; raises EngineError.

    TensorRT plans are opened by `edge.engine.trt.open_plan`.
    """
    from edge.engine.ort import OrtEngine

    return OrtEngine(model, threads=threads)
