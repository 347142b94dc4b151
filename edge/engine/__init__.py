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


def open_engine(model: Path, *, kind: str, threads: int, reference: str = "") -> Engine:
    """Load an ONNX file (`ort`) or a TensorRT plan (`trt`); raises EngineError where it cannot be run here.

    A plan is for the network whose FP32 file has the digest `reference`.
    """
    if kind == "ort":
        from edge.engine.ort import OrtEngine

        return OrtEngine(model, threads=threads)
    if kind == "trt":
        from edge.engine.trt import open_plan

        return open_plan(model, reference)
    raise ValueError(f"expected engine kind 'ort' or 'trt', found {kind!r}")
