"""Choice of the engine; a fallback is reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.cli import doctor
from edge.config import TerminalConfig, load_config
from edge.errors import BundleError, ConfigError, EngineError
from edge.recogniser.networks import open_networks

Write = Callable[..., Path]


def config(write_config: Write, bundle: Path, **engine: object) -> TerminalConfig:
    return load_config(write_config(bundle=str(bundle), engine=engine))


def test_onnx_runtime_runs_fp32_and_int8(write_config: Write, bundle_path: Path) -> None:
    chips = np.full((1, 112, 112, 3), 90, np.uint8)
    probes = []
    for precision in ("fp32", "int8"):
        networks = open_networks(config(write_config, bundle_path, kind="ort", precision=precision))
        assert str(networks) == f"ort {precision}"
        assert networks.calibration == networks.bundle.calibration(precision)
        probes.append(networks.embedder.embed(chips)[0].embedding)
    assert 0.9 < float(probes[0] @ probes[1]) < 0.99999


def test_int8_needs_thresholds_and_parity(
    write_config: Write, bundle_path: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "int8": None}))
    with pytest.raises(BundleError, match="no thresholds for the INT8 embedder"):
        open_networks(config(write_config, bundle, kind="ort", precision="int8"))
    manifest["files"]["embedder-int8.onnx"]["verdict"] = None
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EngineError, match="not compared with the FP32 network yet"):
        open_networks(config(write_config, bundle, kind="ort", precision="int8"))
    del manifest["files"]["embedder-int8.onnx"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="no embedder in int8 in the bundle"):
        open_networks(config(write_config, bundle, kind="ort", precision="int8"))


def test_tensorrt_fallback_needs_permission(write_config: Write, bundle_path: Path) -> None:
    with pytest.raises(EngineError, match=r"NVIDIA driver|cannot be read"):
        open_networks(config(write_config, bundle_path, kind="trt"))
    with pytest.raises(EngineError, match=r"NVIDIA driver|cannot be read"):
        open_networks(config(write_config, bundle_path, kind="auto", allow_ort=False))
    with pytest.raises(ConfigError, match="allow_ort: required; "):
        config(write_config, bundle_path, kind="auto")


def test_tensorrt_fallback_is_reported(
    write_config: Write,
    bundle_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(bundle=str(bundle_path), engine={"kind": "auto", "allow_ort": True})
    networks = open_networks(load_config(path))
    assert (networks.engine, networks.precision) == ("ort", "fp32") and networks.fallback in str(
        networks
    )
    assert "ONNX Runtime is used instead" in caplog.text
    doctor.main(["--config", str(path)])
    output = capsys.readouterr().out
    assert "ort fp32 (instead of trt:" in output
