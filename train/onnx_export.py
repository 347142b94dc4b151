"""Trace torch modules to ONNX files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn

from edge.chip import SIZE

OPSET = 17
IR_VERSION = 8  # what TensorRT 8 reads


def trace_to_onnx(
    module: nn.Module, path: Path, outputs: Sequence[str], *, dynamic_batch: bool
) -> onnx.ModelProto:
    """Write a module from `chip` (N,3,112,112) to the named outputs as ONNX, and return it.

    Without `dynamic_batch` all shapes are those of one chip.
    """
    names = ["chip", *outputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, SIZE, SIZE),),
            str(path),
            input_names=["chip"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "batch"} for name in names} if dynamic_batch else None,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    model.ir_version = IR_VERSION
    return model
