"""Small ONNX models for tests of the encoder readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.engine import open_engine

Array = NDArray[Any]


class ModelBuilder:
    """Collects the nodes of a chain and its weights."""

    def __init__(self, source: str = "chip", seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.source = self.last = source

    def weight(self, value: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = value
        return name

    def add(self, kind: str, *operands: str | Array, **given: Any) -> str:
        """Add a node that reads the last value and operands; arrays become weights."""
        names = [o if isinstance(o, str) else self.weight(o) for o in operands]
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.last, *names], [output], output, **given))
        self.last = output
        return output

    def conv(self, channels: tuple[int, int], size: int = 3, stride: int = 1, **given: Any) -> str:
        """Add a convolution from and to `channels` that keeps the scale of its input."""
        into, out = channels
        inside = into // int(given.get("group", 1))
        weight = self.rng.normal(0, (inside * size * size) ** -0.5, (out, inside, size, size))
        bias = self.rng.normal(0, 0.1, out).astype(np.float32)
        given = {"pads": [size // 2] * 4, **given}
        return self.add(
            "Conv",
            weight.astype(np.float32),
            bias,
            kernel_shape=[size, size],
            strides=[stride] * 2,
            **given,
        )

    def prelu(self, channels: int) -> str:
        return self.add("PRelu", self.rng.uniform(0.1, 0.4, (channels, 1, 1)).astype(np.float32))

    def build(self, shape: list[Any], opset: int = 17) -> onnx.ModelProto:
        """Return the model with inferred shapes."""
        return onnx.shape_inference.infer_shapes(self.model(shape, opset))

    def model(self, shape: list[Any], opset: int = 17) -> onnx.ModelProto:
        """Return the model, which may be invalid."""
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "test",
            [value(self.source, TensorProto.FLOAT, shape)],
            [value(self.last, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(v, name) for name, v in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        return model


def encoder_model(
    size: int = 112,
    *,
    embedding: int = 32,
    first_bias: float | None = None,
    shape: list[Any] | None = None,
    seed: int = 0,
    norm: bool = False,
) -> onnx.ModelProto:
    """Return an untrained encoder with two residual blocks at 14x14 for `size` 112.

    It answers to differences of grey levels, so all input conventions suit it. `first_bias` is
    subtracted before the first activation, whose weights are positive then: the encoder answers
    only to values of that size. `norm` adds a batch norm that no layer before it can absorb.
    """
    made = ModelBuilder(seed=seed)
    made.conv((3, 8), 2, stride=2, pads=[0, 0, 0, 0])
    edges = made.weights["w0"][:, :1]
    made.weights["w0"] = np.repeat(edges - edges.mean(axis=(2, 3), keepdims=True), 3, axis=1)
    if first_bias is not None:
        made.weights["w0"] = np.abs(made.weights["w0"])
        made.weights["w1"] = np.full(8, -first_bias, np.float32)
        made.add("Relu")
    else:
        made.weights["w1"][:] = 0
    made.prelu(8)
    made.conv((8, 8), stride=2)
    made.prelu(8)
    made.conv((8, 16), stride=2)
    for _ in range(2):
        before = made.last
        made.conv((16, 32), 1)
        made.prelu(32)
        made.conv((32, 16))
        made.add("Add", before)
    made.conv((16, 16), stride=2)
    made.prelu(16)
    for name, value in made.weights.items():
        if value.ndim == 1 and name != "w1":
            value[:] = 0  # the embedding has the scale of the input
    if norm:
        one, zero = np.ones(16, np.float32), np.zeros(16, np.float32)
        made.add("BatchNormalization", one, zero, zero, one)
    made.add("Flatten")
    cells = (size // 16) ** 2
    weight = made.rng.normal(0, (16 * cells) ** -0.5, (embedding, 16 * cells))
    bias = np.zeros(embedding, np.float32)
    made.add("Gemm", weight.astype(np.float32), bias, transB=1)
    return made.build(shape or ["batch", 3, size, size])


def save_encoder(path: Path, **changes: Any) -> Path:
    onnx.save(encoder_model(**changes), path)
    return path


def onnx_runner(model: onnx.ModelProto | Path) -> Callable[[Array], dict[str, Array]]:
    """Return a function from network inputs to all outputs by name."""
    if isinstance(model, Path):
        return open_engine(model, threads=1).run
    with TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "model.onnx")
        return open_engine(Path(folder) / "model.onnx", threads=1).run
