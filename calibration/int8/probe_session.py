"""Temporary sessions of networks in memory, with inner tensors as outputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import helper

from calibration.parallel_engine import open_parallel_engine
from edge.engine import Engine


@contextmanager
def session_with_outputs(model: onnx.ModelProto, outputs: Iterable[str] = ()) -> Iterator[Engine]:
    """Yield an engine whose outputs include the given inner tensors; raises EngineError."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    given = {value.name for value in copied.graph.output}
    copied.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in outputs if name not in given
    )
    with tempfile.TemporaryDirectory(prefix="mfsa-onnx-") as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(copied, path)
        engine = open_parallel_engine(path)
        try:
            yield engine
        finally:
            engine.close()
