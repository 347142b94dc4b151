"""Liveness network of a third party: added to the bundle, then used by the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.bundle import read_manifest
from edge.config import load_config
from edge.errors import ConfigError
from edge.recogniser.build import build_liveness_layers
from edge.recogniser.networks import open_networks
from edge.system.wallclock import WallClock
from export.cli.bundle import main


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Network that rates bright chips as live."""
    nodes = [
        helper.make_node("ReduceMean", ["chips"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "four"], ["bright"]),
        helper.make_node("Sigmoid", ["bright"], ["living"]),
    ]
    shapes = [
        helper.make_tensor_value_info("chips", TensorProto.FLOAT, ["n", 3, 112, 112]),
        helper.make_tensor_value_info("living", TensorProto.FLOAT, ["n"]),
    ]
    graph = helper.make_graph(
        nodes, "living", shapes[:1], shapes[1:], [numpy_helper.from_array(np.float32(4), "four")]
    )
    path = tmp_path / "living.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_it_is_packed_checked_and_used(
    network: Path,
    tmp_path: Path,
    write_config: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "bundle"
    assert main(["make", str(out), "--liveness", str(network), "--liveness-threshold", "0.7"]) == 0
    manifest = read_manifest(out)
    assert (
        manifest.liveness is not None
        and manifest.liveness.threshold == 0.7
        and "liveness.onnx" in manifest.files
    )
    config = load_config(
        write_config(
            bundle=str(out),
            liveness={"kind": "layers", "passive": True, "challenge": "near_threshold"},
        )
    )
    networks = open_networks(config)
    names = [make().name for make in build_liveness_layers(config, networks, WallClock())]
    assert names == ["motion", "screen", "passive", "challenge"]
    networks.close()
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    capsys.readouterr()
    assert main(["make", str(tmp_path / "other"), "--liveness", str(tmp_path / "junk.onnx")]) == 1
    assert (
        "cannot be the bundle's liveness network" in capsys.readouterr().err
        and not (tmp_path / "other").exists()
    )


def test_missing_liveness_network_is_reported(
    write_config: Callable[..., Path],
) -> None:
    with pytest.raises(ConfigError, match=r"holds no liveness\.onnx"):
        open_networks(load_config(write_config(liveness={"kind": "layers", "passive": True})))


def test_a_challenge_by_the_clock(write_config: Callable[..., Path]) -> None:
    hours = [
        {"days": ["mon-sun"], "begin": "00:00", "end": "12:00"},
        {"days": ["mon-sun"], "begin": "12:00", "end": "00:00"},
    ]
    for some, demanded in (
        (hours, "waiting"),
        ([{"days": ["holiday"], "begin": "00:00", "end": "00:00"}], "passed"),
    ):
        layers = {
            "kind": "layers",
            "motion": False,
            "screen": False,
            "challenge": "hours",
            "challenge_hours": some,
        }
        config = load_config(write_config(liveness=layers))
        (make,) = build_liveness_layers(config, open_networks(config), WallClock())
        assert make().result(0.0, near_threshold=False).state.value == demanded
    with pytest.raises(ConfigError, match="belong together"):
        load_config(write_config(liveness={"kind": "layers", "challenge": "hours"}))


def test_layers_that_are_all_off_are_no_liveness(write_config: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="no layer is on"):
        load_config(write_config(liveness={"kind": "layers", "motion": False, "screen": False}))
