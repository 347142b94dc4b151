"""ONNX Runtime in a fresh process: no telemetry, no device id."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ADAPTER = Path("edge/engine/ort.py")
PROGRAM = """
import os, sys
from pathlib import Path
{imports}
from edge.engine import open_engine
open_engine(Path(sys.argv[1]), threads=1)
for number in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{{number}}"))
    except FileNotFoundError:
        pass
"""


def _product_modules() -> list[Path]:
    folders = ("edge", "calibration", "export", "train", "benchmarks", "tests")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_ort_import_only_in_its_adapter() -> None:
    importers = [path for path in _product_modules() if "onnxruntime" in _imports(path)]
    assert importers == [ROOT / ADAPTER]


@pytest.mark.parametrize(
    "imports",
    [
        "",
        "import calibration.threshold",
        "import train.cli.evaluate",
        "import export.onnx_transforms",
    ],
)
def test_ort_import_leaves_no_trace(tmp_path: Path, bundle_path: Path, imports: str) -> None:
    cleared = {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    home = {name: value for name, value in os.environ.items() if name not in cleared}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM.format(imports=imports),
            str(bundle_path / "embedder.onnx"),
        ],
        env={**home, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    opened = done.stdout.splitlines()
    assert opened
    assert not [name for name in opened if name.startswith("socket:") or str(tmp_path) in name]
