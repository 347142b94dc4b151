"""What tests share: the reference bundle made complete, the portraits' faces, a terminal's config, the research data."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from calibration.int8.graph import find_places, insert
from calibration.int8.quantize import observe
from calibration.int8.ranges import mse
from edge.bundle import file_digest, read_manifest
from edge.chip import align, to_input
from edge.config import TerminalConfig, load_config
from edge.engine import open_engine
from edge.face.detect import FaceDetector
from edge.face.embed import Embedder
from edge.portraits import COLLINS, HOPPER, load_chip, load_portrait
from export import bundle as bundles
from export.parity import portrait_chips

# The time that an example takes says nothing on a machine that is busy.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# A shell starts what it puts in the background with SIGINT ignored, and every process of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Image = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    skip = pytest.mark.skip(
        reason=f"the research data is not there: {SHARED.parent.name}/{SHARED.name} beside the checkout"
    )
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference bundle with the detector; never write into it."""
    path = tmp_path_factory.mktemp("bundle") / "reference"
    bundles.make(path, bundles.reference(), replace=False)
    return path


@pytest.fixture(scope="session")
def int8_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete bundle with an INT8 embedder, quantised on the portraits; its figures are made up. Never write into it."""
    folder = tmp_path_factory.mktemp("int8")
    chips = to_input(portrait_chips())
    model = onnx.load(bundles.reference() / "embedder.onnx")
    ranges = {
        name: mse(h)
        for name, h in observe(model, find_places(model).activations(), [chips]).items()
    }
    quantised = insert(model, ranges)
    told = {"int8_calibration": "a" * 64, "int8_ranges": "mse", "int8_float_layers": ""}
    onnx.helper.set_model_props(quantised, told)
    onnx.save(quantised, folder / "int8.onnx")
    manifest = read_manifest(bundles.reference())
    measured = []
    for file in (bundles.reference() / "embedder.onnx", folder / "int8.onnx"):
        digest, thresholds, accuracy = (
            file_digest(file),
            folder / f"{file.name}.t.json",
            folder / f"{file.name}.a.json",
        )
        thresholds.write_text(
            manifest.calibration.model_copy(update={"embedder": digest}).model_dump_json()
        )
        accuracy.write_text(json.dumps({**manifest.accuracy, "embedder": digest}))
        measured.append(bundles.Measured(file, thresholds, accuracy))
    bundles.pack(
        folder / "packed", measured[0], bundles.Description("test", "none", "test"), measured[1]
    )
    bundles.make(folder / "bundle", folder / "packed", replace=False)
    return folder / "bundle"


@pytest.fixture(scope="session")
def detector(bundle_path: Path) -> FaceDetector:
    return FaceDetector(
        {"640x480": open_engine(bundle_path / "detector-640x480.onnx", threads=1)}, 0.7
    )


@pytest.fixture(scope="session")
def embedder(bundle_path: Path) -> Embedder:
    return Embedder(open_engine(bundle_path / "embedder.onnx", threads=1))


@pytest.fixture(scope="session")
def collins() -> Image:
    return load_portrait(COLLINS)


@pytest.fixture(scope="session")
def hopper() -> Image:
    return load_portrait(HOPPER)


@pytest.fixture(scope="session")
def collins_chip(collins: Image, detector: FaceDetector) -> Image:
    return align(collins, detector.detect(collins)[0].landmarks_xy)


@pytest.fixture(scope="session")
def hopper_chip(hopper: Image, detector: FaceDetector) -> Image:
    return align(hopper, detector.detect(hopper)[0].landmarks_xy)


@pytest.fixture
def write_config(tmp_path: Path, bundle_path: Path) -> Callable[..., Path]:
    """Writes a terminal.yaml that works here; keyword arguments replace top-level keys."""

    def write(**changes: Any) -> Path:
        fields = {
            "terminal": "test",
            "bundle": str(bundle_path),
            "state": "state",
            "camera": {"kind": "replay", "path": "clip", "lockstep": True},
            "liveness": {"kind": "none"},
            **changes,
        }
        path = tmp_path / "terminal.yaml"
        path.write_text(
            yaml.safe_dump({k: v for k, v in fields.items() if v is not None}), encoding="utf-8"
        )
        return path

    return write


@pytest.fixture(autouse=True)
def _memory_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command does to its own process for good must not be done to the tests'."""
    monkeypatch.setattr("edge.gallery.key.keep_memory_private", lambda: None)


@pytest.fixture
def config(write_config: Callable[..., Path]) -> TerminalConfig:
    return load_config(write_config())


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Writes a clip of the given pictures, each a number of frames long."""

    def write(*shots: tuple[Image, int], name: str = "clip") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        number = 0
        for image, count in shots:
            for _ in range(count):
                cv2.imwrite(str(folder / f"{number:05d}.png"), image)
                number += 1
        return folder

    return write


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Collins and Hopper, three pictures each, one of them named as if with a real mask."""
    root = tmp_path / "people"
    for person, chip in (("collins", load_chip(COLLINS)), ("hopper", load_chip(HOPPER))):
        (root / person).mkdir(parents=True)
        for i in (1, 2, 3):
            cv2.imwrite(str(root / person / f"{person}_{i:04d}.jpg"), np.roll(chip, i, axis=1))
        cv2.imwrite(str(root / person / "m_1.jpg"), chip)
    return root
