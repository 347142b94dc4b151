"""Writer of small TFLite files, as far as tests need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

Builder = Any


@dataclass
class TfliteFile:
    """Tensors and operators of one graph; the first tensor is its input."""

    tensors: list[tuple[tuple[int, ...], NDArray[Any] | None]] = field(default_factory=list)
    operators: list[tuple[int, list[int], int, int, Callable[[Builder], int] | None]] = field(
        default_factory=list
    )

    def tensor(self, *shape: int) -> int:
        self.tensors.append((shape, None))
        return len(self.tensors) - 1

    def constant(self, value: NDArray[Any]) -> int:
        self.tensors.append((value.shape, value))
        return len(self.tensors) - 1

    def operator(
        self,
        kind: str,
        inputs: list[int],
        shape: tuple[int, ...],
        options: str = "",
        **given: int,
    ) -> int:
        """Add an operator and return its output tensor of a shape."""
        output = self.tensor(*shape)
        code = getattr(tflite.BuiltinOperator, kind)

        def write(builder: Builder) -> int:
            getattr(tflite, f"{options}Start")(builder)
            for name, value in given.items():
                getattr(tflite, f"{options}Add{name}")(builder, value)
            return getattr(tflite, f"{options}End")(builder)

        number = getattr(tflite.BuiltinOptions, options) if options else 0
        self.operators.append((code, inputs, output, number, write if options else None))
        return output

    def content(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        codes = sorted({operator[0] for operator in self.operators})
        code_tables = [self._code(builder, code) for code in codes]
        buffers = [self._buffer(builder, None)]
        tensors = []
        for i, (shape, value) in enumerate(self.tensors):
            tensors.append(self._tensor(builder, i, shape, value))
            buffers.append(self._buffer(builder, value))
        operators = [self._operator(builder, codes.index(o[0]), *o[1:]) for o in self.operators]
        graph = self._graph(builder, tensors, operators)
        parts = {
            "OperatorCodes": _tables(builder, code_tables),
            "Subgraphs": _tables(builder, [graph]),
            "Buffers": _tables(builder, buffers),
        }
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        for name, offset in parts.items():
            getattr(tflite, f"ModelAdd{name}")(builder, offset)
        builder.Finish(tflite.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, builder: Builder, code: int) -> int:
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        return tflite.OperatorCodeEnd(builder)

    def _buffer(self, builder: Builder, value: NDArray[Any] | None) -> int:
        data = None if value is None else builder.CreateByteVector(value.tobytes())
        tflite.BufferStart(builder)
        if data is not None:
            tflite.BufferAddData(builder, data)
        return tflite.BufferEnd(builder)

    def _tensor(
        self, builder: Builder, index: int, shape: tuple[int, ...], value: NDArray[Any] | None
    ) -> int:
        name = builder.CreateString(f"tensor{index}")
        sizes = _numbers(builder, shape)
        quantised = value is not None and value.dtype != np.float32
        tflite.TensorStart(builder)
        tflite.TensorAddShape(builder, sizes)
        tflite.TensorAddName(builder, name)
        tflite.TensorAddBuffer(builder, index + 1)
        kind = tflite.TensorType.INT8 if quantised else tflite.TensorType.FLOAT32
        tflite.TensorAddType(builder, kind)
        return tflite.TensorEnd(builder)

    def _operator(
        self,
        builder: Builder,
        code: int,
        inputs: list[int],
        output: int,
        number: int,
        write: Callable[[Builder], int] | None,
    ) -> int:
        read, written = _numbers(builder, inputs), _numbers(builder, [output])
        options = None if write is None else write(builder)
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, code)
        tflite.OperatorAddInputs(builder, read)
        tflite.OperatorAddOutputs(builder, written)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(builder, number)
            tflite.OperatorAddBuiltinOptions(builder, options)
        return tflite.OperatorEnd(builder)

    def _graph(self, builder: Builder, tensors: list[int], operators: list[int]) -> int:
        parts = {
            "Tensors": _tables(builder, tensors),
            "Operators": _tables(builder, operators),
            "Inputs": _numbers(builder, [0]),
            "Outputs": _numbers(builder, [self.operators[-1][2]]),
        }
        tflite.SubGraphStart(builder)
        for name, offset in parts.items():
            getattr(tflite, f"SubGraphAdd{name}")(builder, offset)
        return tflite.SubGraphEnd(builder)


def _numbers(builder: Builder, values: Any) -> int:
    return builder.CreateNumpyVector(np.array(list(values), np.int32))


def _tables(builder: Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
