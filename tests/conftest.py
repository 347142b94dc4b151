"""Fixtures of all tests.

Complete reference bundle, faces of the portraits, configuration of a terminal, research data.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# Test processes share the cores: threads that wait for one another would only burn time.
os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import cv2
import numpy as np
import pytest
import yaml
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from edge.chip import align
from edge.config import TerminalConfig, load_config
from edge.engine import open_engine
from edge.face.detect import FaceDetector, open_detector
from edge.face.embed import Embedder
from edge.portraits import COLLINS, HOPPER, load_chip, load_portrait
from tests.bundles import make_once, make_reference

cv2.setNumThreads(1)

# The time that an example takes says nothing on a machine that is busy.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# A shell starts what it puts in the background with SIGINT ignored, and every process of the tests
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Image = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SHARED.is_dir():
        return
    folder = f"{SHARED.parent.name}/{SHARED.name}"
    skip = pytest.mark.skip(reason=f"the research data is missing: {folder} next to the checkout")
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference with the detector and its FP16 and INT8 forms; never write into it."""
    return make_once(tmp_path_factory, "reference", make_reference)


@pytest.fixture(scope="session")
def detector(bundle_path: Path) -> FaceDetector:
    models = {"640x480": bundle_path / "detector-640x480.onnx"}
    return open_detector(models, min_score=0.7, threads=1)


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
    """Prevent permanent changes of the test process by commands."""
    monkeypatch.setattr("edge.gallery.key.disable_memory_dumps", lambda: None)


@pytest.fixture
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive keys of passphrases at 1/64 of the cost; test_passphrase.py checks the real one."""
    monkeypatch.setattr("edge.gallery.encrypted_file.Scrypt", partial(_cheap, Scrypt))


def _cheap(scrypt: type[Scrypt], *, n: int, **parameters: Any) -> Scrypt:
    return scrypt(n=n >> 6, **parameters)


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
            png = cv2.imencode(".png", image)[1].tobytes()
            for _ in range(count):
                (folder / f"{number:05d}.png").write_bytes(png)
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
