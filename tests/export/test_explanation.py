from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'mfsa-edge[train]'")

import torch
from torch import nn

from edge.chip import to_input
from edge.engine import open_engine
from edge.errors import ConfigError
from edge.face.explanation import OUTPUTS
from export.cli.export import main
from export.explanation import export_explanation
from export.explanation_parity import check_explanation
from export.parity_data import portrait_chips
from tests.train.explained import KINDS, make_network, set_route
from train.explanation import ExplanationNetwork
from train.torch_engine import TorchEngine
from train.weights import save_weights


@pytest.mark.parametrize("kind", KINDS)
def test_file_has_the_outputs_of_torch(kind: str, tmp_path: Path) -> None:
    network = make_network(kind)
    set_route(network, kind == "routed")
    export_explanation(network, tmp_path / "e.onnx", portrait_chips()[:4])
    model = onnx.load(tmp_path / "e.onnx")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [
        1,
        3,
        112,
        112,
    ]
    assert not any(node.op_type in ("PRelu", "If", "Loop", "NonZero") for node in model.graph.node)
    engine, expected = open_engine(tmp_path / "e.onnx", threads=1), ExplanationNetwork(network)
    expected.set_average(torch.from_numpy(to_input(portrait_chips()[:4])))
    for chip in portrait_chips()[:3]:
        found = engine.run(to_input(chip[None]))
        with torch.no_grad():
            values = expected(torch.from_numpy(to_input(chip[None])))
        for name, value in zip(OUTPUTS, values, strict=True):
            assert found[name].shape == tuple(value.shape)
            assert np.allclose(found[name], value.numpy(), atol=1e-4), name


def test_explanation_of_another_network_fails(tmp_path: Path) -> None:
    network, chips = make_network("mbf"), portrait_chips()[:4]
    export_explanation(network, tmp_path / "e.onnx", portrait_chips()[:4])
    engine = open_engine(tmp_path / "e.onnx", threads=1)
    expected = TorchEngine(network).run(to_input(chips))["embedding"]
    digests = {"judged": "1" * 64, "reference": "2" * 64}
    assert check_explanation(engine, chips, expected, **digests).passed
    other = check_explanation(engine, chips, expected[::-1], **digests)
    assert not other.passed and "do not add up" in other.reason
    wider = check_explanation(engine, chips, np.ones((4, 99), np.float32), **digests)
    assert not wider.passed and "16 dimensions" in wider.reason


def test_command_writes_the_explanation(
    tmp_path: Path, collins_chip: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(make_network("mbf"), tmp_path / "w.safetensors")
    out, explanation = tmp_path / "net.onnx", tmp_path / "explanation.onnx"
    command = ["--checkpoint", str(tmp_path / "w.safetensors"), "--out", str(out)]
    assert main([*command, "--explanation", str(explanation)]) == 2
    assert "expected at least 50 faces, found 0" in capsys.readouterr().err
    assert not explanation.exists() and not out.exists()
    (tmp_path / "faces" / "collins").mkdir(parents=True)
    for i in range(50):
        file = tmp_path / "faces" / "collins" / f"{i}.png"
        cv2.imwrite(str(file), np.clip(collins_chip * (0.7 + i / 100), 0, 255))
    chips = ["--chips", str(tmp_path / "faces")]
    assert main([*command, "--explanation", str(explanation), *chips]) == 0
    assert "cosine of the sum of parts min 1.0000" in capsys.readouterr().out
    assert explanation.is_file() and out.is_file()


def test_network_without_linear_end_no_export(tmp_path: Path) -> None:
    network = make_network("mbf")
    assert isinstance(network.tail, nn.Sequential)
    network.tail.append(nn.PReLU())
    with pytest.raises(ConfigError, match=r"no linear end.*leave out --explanation"):
        export_explanation(network, tmp_path / "e.onnx", portrait_chips()[:4])
    assert list(tmp_path.iterdir()) == []
