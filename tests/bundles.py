"""Model bundles that many tests read; each is made once and shared by all test processes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.bundle import file_digest, read_manifest
from export import bundle as bundles
from export import packing


def make_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path, Path], None]
) -> Path:
    """Return what `make(path, scratch)` writes to `path`, made by the first process that needs it.

    The workers of pytest-xdist share the folder above their own ones.
    """
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = root / f"shared-{name}" / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            scratch = factory.mktemp(name)
            make(scratch / name, scratch)
            made.parent.mkdir()
            (scratch / name).rename(made)
    return made


def make_reference(path: Path, _: Path) -> None:
    bundles.make_bundle(path, bundles.reference_bundle(), replace=False)


def make_int8(path: Path, scratch: Path) -> None:
    """Make a bundle with an INT8 embedder, quantised on the portraits; its figures are made up."""
    _quantise(scratch / "int8.onnx")
    manifest = read_manifest(bundles.reference_bundle())
    measured = []
    for file in (bundles.reference_bundle() / "embedder.onnx", scratch / "int8.onnx"):
        digest = file_digest(file)
        thresholds = scratch / f"{file.name}.t.json"
        accuracy = scratch / f"{file.name}.a.json"
        calibration = manifest.calibration.model_copy(update={"embedder": digest})
        thresholds.write_text(calibration.model_dump_json())
        accuracy.write_text(json.dumps({**manifest.accuracy, "embedder": digest}))
        measured.append(packing.MeasuredEmbedder(file, thresholds, accuracy))
    description = packing.ModelDescription("test", "none", "test")
    packing.pack_bundle(scratch / "packed", measured[0], description, measured[1])
    bundles.make_bundle(path, scratch / "packed", replace=False)


def _quantise(out: Path) -> None:
    import onnx

    from calibration.int8.graph import insert_qdq, plan_quantization
    from calibration.int8.quantize import collect_histograms
    from calibration.int8.ranges import mse
    from edge.chip import to_input
    from export.parity_data import portrait_chips

    model = onnx.load(bundles.reference_bundle() / "embedder.onnx")
    histograms = collect_histograms(
        model, plan_quantization(model).activations(), [to_input(portrait_chips())]
    )
    quantised = insert_qdq(model, {name: mse(h) for name, h in histograms.items()})
    properties = {"int8_calibration": "a" * 64, "int8_ranges": "mse", "int8_float_layers": ""}
    onnx.helper.set_model_props(quantised, properties)
    onnx.save(quantised, out)
