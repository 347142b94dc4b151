"""ONNX Runtime on the CPU: the default engine.

The only module that imports ONNX Runtime; `edge/__init__.py` switches its telemetry off before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import EngineError
from edge.system.packages import install_command

try:
    import onnxruntime as ort
except ImportError as error:  # pragma: no cover - depends on the installation
    raise EngineError(
        f"ONNX Runtime is not installed ({error}); install it with: "
        f"{install_command('onnxruntime')}"
    ) from error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OrtEngine", "import_half_converter", "ort", "session_options"]


def import_half_converter() -> tuple[Any, Any]:
    """Return ONNX Runtime's FP16 converter and its graph class; both need the package onnx."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    return convert_float_to_float16, OnnxModel


def session_options(threads: int) -> ort.SessionOptions:
    """Return options with a fixed number of threads; spinning is off to save CPU time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class OrtEngine:
    """Engine of one ONNX Runtime session, which may run in several threads at once."""

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        try:
            self._session: Any = ort.InferenceSession(
                str(model), session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises several types without a common base
            raise EngineError(
                f"{model}: ONNX Runtime cannot load it: {_first_line(error)}"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise EngineError(f"{model}: expected one input, found {[i.name for i in inputs]}")
        self._input = inputs[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._model = model

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if self._session is None:
            raise EngineError(f"{self._model}: the engine is closed")
        try:
            values = self._session.run(self._outputs, {self._input: batch})
        except Exception as error:
            raise EngineError(f"{self._model}: inference failed: {_first_line(error)}") from error
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        self._session = None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
