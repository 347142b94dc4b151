"""Convert a float TFLite encoder (NHWC) to ONNX (NCHW)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ConfigError
from train.onnx_export import IR_VERSION, OPSET

_OPERATOR_NAMES = {
    code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
}
_FUSED = {
    tflite.ActivationFunctionType.NONE: None,
    tflite.ActivationFunctionType.RELU: "Relu",
    tflite.ActivationFunctionType.RELU6: "Clip",
}


def convert_tflite(path: Path) -> onnx.ModelProto:
    """Return the encoder of a TFLite file as ONNX with a dynamic batch.

    Raises ConfigError for another kind of file, quantised tensors or an operator that face
    encoders of convolutions do not need.
    """
    try:
        model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
        graph = model.Subgraphs(0)
        if graph is None:
            raise ValueError("no graph")
        return _Converter(path, model, graph).convert()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; name a file") from error
    except ConfigError:
        raise
    except struct.error as error:  # an offset beyond the end of the file
        raise ConfigError(
            f"{path}: not a readable TFLite model; download or export it again"
        ) from error
    except Exception as error:  # flatbuffers raises many types for invalid bytes
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(
            f"{path}: not a readable TFLite model ({reason}); download or export it again"
        ) from error


class _Converter:
    """State of one conversion: the nodes and initializers written so far."""

    def __init__(self, path: Path, model: Any, graph: Any) -> None:
        self.path, self.model, self.graph = path, model, graph
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.writers: dict[str, Callable[[Any, list[int], int], None]] = {
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._conv,
            "FULLY_CONNECTED": self._linear,
            "PRELU": self._prelu,
            "RESHAPE": self._reshape,
            "AVERAGE_POOL_2D": self._average,
            **dict.fromkeys(("ADD", "SUB", "MUL", "RELU", "ABS"), self._elementwise),
        }

    def convert(self) -> onnx.ModelProto:
        source, result = self.graph.Inputs(0), self.graph.Outputs(0)
        shape = self._shape(source)
        if len(shape) != 4 or shape[3] != 3:
            raise ConfigError(
                f"{self.path}: expected one picture (N,H,W,3) as input, found {tuple(shape)}"
            )
        for i in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(i)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            name = _OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if name not in self.writers:
                raise ConfigError(
                    f"{self.path}: operator {name} is not supported; "
                    "convert the model to ONNX with the tool that made it"
                )
            inputs = [int(t) for t in operator.InputsAsNumpy()]
            (output,) = (int(t) for t in operator.OutputsAsNumpy())
            self.writers[name](operator, inputs, output)
        _fold_prelu(self.nodes, self.weights)
        size = self._shape(result)[-1]
        batch: list[Any] = ["batch"]
        graph = helper.make_graph(
            self.nodes,
            "encoder",  # not the name of the file: equal encoders get equal bytes
            [
                helper.make_tensor_value_info(
                    f"t{source}", TensorProto.FLOAT, [*batch, 3, *shape[1:3]]
                )
            ],
            [helper.make_tensor_value_info(f"t{result}", TensorProto.FLOAT, [*batch, size])],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        made.ir_version = IR_VERSION
        onnx.checker.check_model(made, full_check=True)
        return made

    def _shape(self, index: int) -> list[int]:
        tensor = self.graph.Tensors(index)
        return [int(n) for n in tensor.ShapeAsNumpy()] if tensor.ShapeLength() else []

    def _constant(self, index: int) -> NDArray[np.float32] | None:
        tensor = self.graph.Tensors(index)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int):  # flatbuffers returns 0 for an empty vector
            return None
        if tensor.Type() != tflite.TensorType.FLOAT32:
            raise ConfigError(
                f"{self.path}: tensor {tensor.Name().decode()} is not float32; "
                "use the float form of the model"
            )
        return np.frombuffer(data.tobytes(), np.float32).reshape(self._shape(index))

    def _store(self, name: str, value: NDArray[np.float32]) -> str:
        self.weights[name] = np.array(value, np.float32, order="C")
        return name

    def _operand(self, index: int, rank: int) -> str:
        """Return the name of an operand; a constant per channel becomes (C,1,1) for maps."""
        value = self._constant(index)
        if value is None:
            return f"t{index}"
        if rank == 4 and value.ndim == 1:
            value = value[:, None, None]
        return self._store(f"c{index}", value)

    def _emit(
        self, kind: str, inputs: list[str], output: int, fused: int = 0, **given: Any
    ) -> None:
        """Write a node, and the activation that is fused with it."""
        activation = _FUSED.get(fused, "")
        if activation == "":
            raise ConfigError(f"{self.path}: fused activation {fused} is not supported")
        name = f"t{output}"
        before = name if activation is None else f"{name}_linear"
        self.nodes.append(helper.make_node(kind, inputs, [before], f"n{len(self.nodes)}", **given))
        if activation is not None:
            bounds = []
            if activation == "Clip":
                bounds = [
                    self._store(f"{name}_low", np.zeros((), np.float32)),
                    self._store(f"{name}_high", np.full((), 6, np.float32)),
                ]
            self.nodes.append(
                helper.make_node(activation, [before, *bounds], [name], f"n{len(self.nodes)}")
            )

    def _conv(self, operator: Any, inputs: list[int], output: int) -> None:
        kernel = self._constant(inputs[1])
        assert kernel is not None
        depthwise = kernel.shape[0] == 1 and operator.BuiltinOptionsType() == (
            tflite.BuiltinOptions.DepthwiseConv2DOptions
        )
        options = tflite.DepthwiseConv2DOptions() if depthwise else tflite.Conv2DOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        # (1,H,W,C) or (O,H,W,I) to (O,I,H,W)
        weight = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
        operands = [f"t{inputs[0]}", self._store(f"c{inputs[1]}", weight)]
        if len(inputs) > 2 and inputs[2] >= 0:
            bias = self._constant(inputs[2])
            assert bias is not None
            operands.append(self._store(f"c{inputs[2]}", bias))
        strides = [options.StrideH(), options.StrideW()]
        size = list(weight.shape[2:])
        same = options.Padding() == tflite.Padding.SAME
        pads = _same_padding(self._shape(inputs[0])[1:3], size, strides) if same else [0] * 4
        self._emit(
            "Conv",
            operands,
            output,
            options.FusedActivationFunction(),
            kernel_shape=size,
            strides=strides,
            pads=pads,
            group=weight.shape[0] if depthwise else 1,
        )

    def _linear(self, operator: Any, inputs: list[int], output: int) -> None:
        weight = self._constant(inputs[1])
        assert weight is not None
        options = tflite.FullyConnectedOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        operands = [f"t{inputs[0]}", self._store(f"c{inputs[1]}", weight)]
        if len(inputs) > 2 and inputs[2] >= 0:
            operands.append(self._operand(inputs[2], 2))
        self._emit("Gemm", operands, output, options.FusedActivationFunction(), transB=1)

    def _prelu(self, operator: Any, inputs: list[int], output: int) -> None:
        slope = self._constant(inputs[1])
        assert slope is not None
        self._emit(
            "PRelu",
            [f"t{inputs[0]}", self._store(f"c{inputs[1]}", slope.reshape(-1)[:, None, None])],
            output,
        )

    def _elementwise(self, operator: Any, inputs: list[int], output: int) -> None:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        name = _OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        rank = len(self._shape(output))
        kind = {"RELU": "Relu"}.get(name, name.capitalize())
        self._emit(kind, [self._operand(i, rank) for i in inputs], output)

    def _reshape(self, operator: Any, inputs: list[int], output: int) -> None:
        before = self._shape(inputs[0])
        # Flattening of (N,1,1,C) is the same in both layouts; of larger maps it is not.
        if len(before) == 4 and before[1:3] != [1, 1]:
            transposed = f"t{output}_nhwc"
            self.nodes.append(
                helper.make_node("Transpose", [f"t{inputs[0]}"], [transposed], perm=[0, 2, 3, 1])
            )
            self._emit("Flatten", [transposed], output)
        else:
            self._emit("Flatten", [f"t{inputs[0]}"], output)

    def _average(self, operator: Any, inputs: list[int], output: int) -> None:
        options = tflite.Pool2DOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        if [options.FilterHeight(), options.FilterWidth()] != self._shape(inputs[0])[1:3]:
            raise ConfigError(f"{self.path}: only global average pooling is supported")
        self._emit("GlobalAveragePool", [f"t{inputs[0]}"], output)


def _same_padding(size: list[int], kernel: list[int], stride: list[int]) -> list[int]:
    """Return TensorFlow's "same" padding (top, left, bottom, right): the odd pixel is last."""
    total = [
        max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, stride, strict=True)
    ]
    return [n // 2 for n in total] + [n - n // 2 for n in total]


def _fold_prelu(nodes: list[onnx.NodeProto], weights: dict[str, NDArray[np.float32]]) -> None:
    """Replace relu(x) + s * (x - |x|), by which Keras writes PReLU, with PRelu of slope 2 s."""
    maker = {node.output[0]: node for node in nodes}

    def made_by(name: str, kind: str) -> onnx.NodeProto | None:
        node = maker.get(name)
        return node if node is not None and node.op_type == kind else None

    for node in list(nodes):
        if node.op_type != "Add":
            continue
        relu, scaled = made_by(node.input[0], "Relu"), made_by(node.input[1], "Mul")
        if relu is None or scaled is None:
            continue
        slope = next((name for name in scaled.input if name in weights), None)
        other = next((name for name in scaled.input if name not in weights), "")
        difference = made_by(other, "Sub")
        x = relu.input[0]
        if slope is None or difference is None or difference.input[0] != x:
            continue
        absolute = made_by(difference.input[1], "Abs")
        if absolute is None or absolute.input[0] != x:
            continue
        weights[slope] = weights[slope] * 2
        place = nodes.index(node)
        nodes[place] = helper.make_node("PRelu", [x, slope], list(node.output), node.name)
        for gone in (relu, scaled, difference, absolute):
            nodes.remove(gone)
