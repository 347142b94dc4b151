"""Outputs of explanations, and a network that gives them for every chip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import (
    EMBEDDER,
    EXPLANATION,
    BundledFile,
    ParityResult,
    file_digest,
    read_manifest,
)
from edge.face.explanation import OUTPUTS
from edge.face.regions import REGIONS, landmark_regions
from export.bundle_writer import write_manifest


def make_outputs(rng: np.random.Generator, dimension: int, size: int = 7) -> dict[str, np.ndarray]:
    """Return outputs for a chip without a mask."""
    shapes = {
        "cells": (1, size * size, dimension),
        "bias": (1, dimension),
        "closed": (1, len(REGIONS), dimension),
    }
    outputs = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }
    maps = landmark_regions()
    outputs["regions"] = np.concatenate([maps, np.zeros_like(maps[:1])])[None]
    outputs["gated"] = np.ones(1, np.float32)
    return outputs


def write_explanation(path: Path, dimension: int) -> Path:
    """Write a network whose outputs are the same for every chip."""
    outputs = make_outputs(np.random.default_rng(0), dimension)
    chip = helper.make_tensor_value_info("chip", TensorProto.FLOAT, [1, 3, 112, 112])
    constants = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(outputs[name]))
        for name in OUTPUTS
    ]
    described = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, outputs[name].shape)
        for name in OUTPUTS
    ]
    graph = helper.make_graph(constants, "explanation", [chip], described)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def add_explanation(bundle: Path) -> None:
    """Add such a network to a bundle, with a parity result that passed."""
    manifest = read_manifest(bundle)
    digest = file_digest(write_explanation(bundle / EXPLANATION, manifest.embedding))
    verdict = ParityResult(
        passed=True,
        judged=digest,
        reference=manifest.files[EMBEDDER].sha256,
        samples=1,
        figures={},
    )
    entry = BundledFile(sha256=digest, origin="test", licence="test", verdict=verdict)
    write_manifest(
        bundle, manifest.model_copy(update={"files": {**manifest.files, EXPLANATION: entry}})
    )
