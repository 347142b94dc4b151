from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge.bundle import open_bundle
from edge.bundle_files import FILE_BYTES_MAX
from edge.chip import PREPROCESSING
from edge.errors import BundleError
from export.bundle import reference_bundle


@pytest.fixture
def copy(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def edit(path: Path, **changes: object) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_reference_bundle_is_valid(bundle_path: Path) -> None:
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


def test_incomplete_bundle_names_command() -> None:
    with pytest.raises(BundleError, match="complete it with: mfsa-bundle make"):
        open_bundle(reference_bundle(), PREPROCESSING)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"schema_version": 9}, "expected schema_version 3, found 9"),
        ({"preprocessing": "bgr-0..1"}, "needs preprocessing 'bgr-0..1'"),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"calibration": {}}, "calibration.unmasked: required"),
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
    with pytest.raises(BundleError, match="no model bundle found"):
        open_bundle(tmp_path / "none", PREPROCESSING)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        open_bundle(tmp_path, PREPROCESSING)


def add_file(path: Path, name: str, content: bytes) -> None:
    (path / name).write_bytes(content)
    files = json.loads((path / "manifest.json").read_text())["files"]
    entry = {**files["parity.npz"], "sha256": hashlib.sha256(content).hexdigest()}
    edit(path, files={**files, name: entry})


def test_bundle_file_that_is_link_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "parity.npz").rename(tmp_path / "parity.npz")
    (copy / "parity.npz").symlink_to(tmp_path / "parity.npz")
    with pytest.raises(BundleError, match="expected a regular file, found a link"):
        open_bundle(copy, PREPROCESSING)


def test_bundle_manifest_that_is_link_is_refused(copy: Path, tmp_path: Path) -> None:
    (copy / "manifest.json").rename(tmp_path / "manifest.json")
    (copy / "manifest.json").symlink_to(tmp_path / "manifest.json")
    with pytest.raises(BundleError, match="expected a regular file, found a link"):
        open_bundle(copy, PREPROCESSING)


def test_bundle_file_that_is_pipe_is_refused(copy: Path) -> None:
    (copy / "parity.npz").unlink()
    os.mkfifo(copy / "parity.npz")
    with pytest.raises(BundleError, match="found a named pipe"):
        open_bundle(copy, PREPROCESSING)


def test_bundle_file_beyond_limit_is_refused(copy: Path) -> None:
    with (copy / "parity.npz").open("r+b") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(BundleError, match="at most 1,073,741,824 are accepted"):
        open_bundle(copy, PREPROCESSING)


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a\0b", "a/b", "/etc/hostname", "..", ".hidden", "", "manifest.json"]
)
def test_bundle_file_name_is_checked(copy: Path, name: str) -> None:
    files = json.loads((copy / "manifest.json").read_text())["files"]
    edit(copy, files={**files, name: files["parity.npz"]})
    with pytest.raises(BundleError, match="expected plain file names"):
        open_bundle(copy, PREPROCESSING)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[" * 200_000, "nested too deeply|not valid JSON"),
        ('{"accuracy": ' + "[" * 50 + "]" * 50 + "}", "nested more than 20 levels"),
        ('{"x": NaN}', "expected a number, found NaN"),
        ('{"x": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"name": "a", "name": "b"}', "duplicate key 'name'"),
        ('{"files": {"\\ud800": 1}}', "expected plain file names"),
        ("[]", "expected an object, found list"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (" " * (5 << 20), "at most 4,194,304 are accepted"),
    ],
    ids=range(9),
)
def test_bundle_hostile_manifest_is_refused(copy: Path, text: str | bytes, part: str) -> None:
    (copy / "manifest.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BundleError, match=part):
        open_bundle(copy, PREPROCESSING)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_bundle_network_in_two_files_is_refused(copy: Path, location: str) -> None:
    network = onnx.load(copy / "embedder.onnx")
    tensor = network.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location)
    add_file(copy, "embedder.onnx", network.SerializeToString())
    with pytest.raises(BundleError, match="keeps weights in another file"):
        open_bundle(copy, PREPROCESSING)


def test_bundle_constant_in_two_files_is_refused(copy: Path) -> None:
    network = onnx.load(copy / "embedder.onnx")
    value = onnx.numpy_helper.from_array(np.zeros(1, np.float32), "c")
    onnx.external_data_helper.set_external_data(value, "weights.bin")
    network.graph.node.append(onnx.helper.make_node("Constant", [], ["unused"], value=value))
    add_file(copy, "embedder.onnx", network.SerializeToString())
    with pytest.raises(BundleError, match="keeps weights in another file"):
        open_bundle(copy, PREPROCESSING)


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x3a\x7f", b"\x0b"])
def test_bundle_network_not_onnx_is_refused(copy: Path, content: bytes) -> None:
    add_file(copy, "embedder.onnx", content)
    with pytest.raises(BundleError, match="not an ONNX file"):
        open_bundle(copy, PREPROCESSING)
