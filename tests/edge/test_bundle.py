from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.chip import PREPROCESSING
from edge.errors import BundleError
from export.bundle import reference


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def edit(path: Path, **changes: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_the_reference_is_whole(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path, PREPROCESSING)
    calibration = bundle.manifest.calibration
    assert calibration.gallery_size >= 1
    assert calibration.unmasked.fmr <= calibration.unmasked.target_fmr
    assert len(bundle.model_digest) == 64


def test_one_changed_byte_is_refused_by_name(copy: Path) -> None:
    data = bytearray((copy / "embedder.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "embedder.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"embedder\.onnx: sha256"):
        open_bundle(copy, PREPROCESSING)


def test_a_missing_file_is_refused_by_name(copy: Path) -> None:
    (copy / "detector-640x480.onnx").unlink()
    with pytest.raises(BundleError, match=r"detector-640x480\.onnx: missing"):
        open_bundle(copy, PREPROCESSING)


def test_a_bundle_without_detector_says_how_to_complete_it() -> None:
    with pytest.raises(BundleError, match="complete it with: mfsa-bundle make"):
        open_bundle(reference(), PREPROCESSING)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"schema_version": 9}, "expected schema_version 1, found 9"),
        ({"preprocessing": "bgr-0..1"}, "wants preprocessing 'bgr-0..1'"),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"calibration": {}}, "calibration.unmasked: missing"),
    ],
)
def test_other_manifests_are_refused(copy: Path, changes: dict[str, object], part: str) -> None:
    edit(copy, **changes)
    with pytest.raises(BundleError, match=part):
        open_bundle(copy, PREPROCESSING)


def test_a_file_outside_the_folder_is_refused(copy: Path) -> None:
    files = json.loads((copy / "manifest.json").read_text())["files"]
    entry = files["embedder.onnx"]
    edit(copy, files={**files, "../elsewhere.onnx": entry})
    with pytest.raises(BundleError, match="expected plain file names"):
        open_bundle(copy, PREPROCESSING)


def test_no_bundle_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no model bundle there"):
        open_bundle(tmp_path / "none", PREPROCESSING)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        open_bundle(tmp_path, PREPROCESSING)
