"""Transforms of ONNX networks: half precision and fixed batch."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from edge.errors import EngineError

# Half precision is too coarse for the attention, which is a share of one.
_STAY_FLOAT = ["Softmax"]
_OPSET_OF_HALF_SCALES = 19  # first opset whose Q/DQ may have half-precision scales


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert to FP16, with FP32 at inputs, outputs and the softmax.

    A Q/DQ graph keeps its int8 parts and needs opset 19.
    """
    from edge.engine.ort import import_half_converter  # absent on machines that only build engines

    convert, graph_class = import_half_converter()
    source = _copy(model)
    if any(node.op_type == "QuantizeLinear" for node in source.graph.node):
        source = version_converter.convert_version(source, _OPSET_OF_HALF_SCALES)
        _keep_properties(model, source)
    half: onnx.ModelProto = convert(
        source, keep_io_types=True, op_block_list=_STAY_FLOAT, disable_shape_infer=False
    )
    graph_class.graph_topological_sort(half.graph)
    onnx.checker.check_model(half, full_check=True)
    return half


def _keep_properties(source: onnx.ModelProto, target: onnx.ModelProto) -> None:
    del target.metadata_props[:]
    target.metadata_props.extend(source.metadata_props)
    target.producer_name = source.producer_name


def widen_to_fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a half-precision network to FP32 with its rounded weights.

    ONNX Runtime before 1.24 computes half-precision Q/DQ scales inaccurately; TensorRT does not.
    """
    wide = _copy(model)
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT

    def widen(tensor: onnx.TensorProto) -> None:
        if tensor.data_type == half:
            tensor.CopyFrom(
                numpy_helper.from_array(
                    numpy_helper.to_array(tensor).astype(np.float32), tensor.name
                )
            )

    for tensor in wide.graph.initializer:
        widen(tensor)
    for node in wide.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.i = full
    del wide.graph.value_info[:]
    onnx.checker.check_model(wide, full_check=True)
    return wide


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """Return a copy for batches of this size; raises EngineError if the batch is fixed already."""
    fixed = _copy(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_param:
            raise EngineError(f"{value.name}: the batch is fixed to {first.dim_value} already")
        first.dim_value = batch
    del fixed.graph.value_info[:]
    fixed = onnx.shape_inference.infer_shapes(fixed, strict_mode=True)
    onnx.checker.check_model(fixed, full_check=True)
    return fixed


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied
