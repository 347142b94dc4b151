"""Export the network that explains scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from calibration.prelu import split_prelu
from edge import masks
from edge.chip import PREPROCESSING, to_input
from edge.errors import ConfigError
from edge.face.explanation import OUTPUTS
from export.version import code_version
from train.explanation import ExplanationNetwork
from train.onnx_export import trace_to_onnx
from train.routed import Network

_FEWEST_FACES = 50


def average_faces(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return chips (N,112,112,3), bare and with drawn masks; raises ConfigError for too few."""
    if len(chips) < _FEWEST_FACES:
        raise ConfigError(
            f"--explanation: contributions are differences from the average face of --chips, "
            f"expected at least {_FEWEST_FACES} faces, found {len(chips)}"
        )
    drawn = [masks.draw_protocol(chip, str(i))[0] for i, chip in enumerate(chips)]
    return np.concatenate([chips, np.stack(drawn)])


def export_explanation(network: Network, path: Path, faces: NDArray[np.uint8]) -> None:
    """Write an ONNX file, opset 17, for one chip, with the outputs `edge.face.explanation.OUTPUTS`.

    Contributions are differences from the average of `faces` (N,112,112,3). All shapes are static.
    PReLU is in parts: terminals run this file in ONNX Runtime only.
    Raises ConfigError for a network without a linear end.
    """
    explanation = ExplanationNetwork(network).eval()
    explanation.set_average(torch.from_numpy(to_input(faces)))
    model = trace_to_onnx(explanation, path, OUTPUTS, dynamic_batch=False)
    model.producer_name = "mfsa-export"
    onnx.helper.set_model_props(
        model, {"preprocessing": PREPROCESSING, "code_version": code_version()}
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(split_prelu(model), path)
