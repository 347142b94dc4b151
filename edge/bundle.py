"""The model bundle: a folder whose manifest names every file by digest and says what the model may be trusted with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.bundle_files import MANIFEST as MANIFEST
from edge.bundle_files import check_digest, read_fields, read_file
from edge.errors import BundleError, EngineError
from edge.onnx_file import has_external_data
from edge.parsing import parse_json
from edge.values import Precision

SCHEMA = 1
PARITY = "parity.npz"  # chips and what the FP32 embedder says of them
SCENE = "parity-detector.npz"  # a picture with faces and what the FP32 detectors find in it
SAME_PERSON_FMR = 1e-2  # of `Calibration.same_person`
DETECTOR_SIZES = ("640x480", "320x256")
EMBEDDER_NETWORK = "embedder"


def detector_network(size: str) -> str:
    return f"detector-{size}"


NETWORKS = (EMBEDDER_NETWORK, *(detector_network(size) for size in DETECTOR_SIZES))


def onnx_file(network: str, precision: Precision = "fp32", *, fp16_scales: bool = False) -> str:
    """The name of a network's ONNX file. `fp16_scales`: what is not int8 is FP16, as strongly typed builders want it."""
    form = "" if precision == "fp32" else f"-{precision}"
    return f"{network}{form}{'-fp16' if fp16_scales and precision == 'int8' else ''}.onnx"


def plan_file(network: str, precision: Precision) -> str:
    """The name of a TensorRT plan that was built on the device."""
    return f"{network}-{precision}.plan"


def detector_file(size: str) -> str:
    return onnx_file(detector_network(size))


def prelu_form(path: Path) -> Path:
    """Where the form of a network with PReLU lies that TensorRT wants; ONNX Runtime wants PReLU in parts."""
    return path.with_name(f"{path.stem}-whole{path.suffix}")


EMBEDDER = onnx_file(EMBEDDER_NETWORK)
EMBEDDER_PRELU = prelu_form(Path(EMBEDDER)).name
LIVENESS = "liveness.onnx"  # an optional network of the layer `passive`
REQUIRED_FILES = (EMBEDDER, PARITY, SCENE, *(detector_file(size) for size in DETECTOR_SIZES))


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ParityResult(_Part):
    """What the parity gate found when it compared one file with the FP32 network on real chips or scenes."""

    passed: bool
    reason: str = Field("", description="why not, in words")
    judged: str = Field(description="sha256 of the file that was run", pattern=r"^[0-9a-f]{64}$")
    reference: str = Field(description="sha256 of the FP32 ONNX file", pattern=r"^[0-9a-f]{64}$")
    samples: int = Field(ge=0)
    figures: dict[str, float] = Field(
        description="such as min_cosine and attention_error, beside their bounds"
    )


class BundledFile(_Part):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    origin: str = Field(
        description="where it comes from; for converted files with the digest of the source"
    )
    licence: str
    verdict: ParityResult | None = Field(
        None, description="of networks in other precisions: what the parity gate found"
    )


class OperatingPoint(_Part):
    """One threshold and what was measured at it, on comparisons of different people."""

    threshold: float = Field(gt=-1, lt=1)
    target_fmr: float = Field(gt=0, lt=1)
    fmr: float = Field(ge=0, le=1)
    fmr_upper: float = Field(ge=0, le=1, description="95 % upper bound by bootstrap over people")
    comparisons: int = Field(ge=0, description="non-mated")
    fnmr: float = Field(ge=0, le=1)
    fnmr_upper: float = Field(ge=0, le=1)
    mated: int = Field(ge=0)


class Calibration(_Part):
    """Thresholds of the model; both are fixed on data that it was not trained on."""

    embedder: str = Field(
        description="sha256 of the ONNX file that was measured", pattern=r"^[0-9a-f]{64}$"
    )
    unmasked: OperatingPoint
    masked: OperatingPoint
    same_person: float = Field(
        gt=-1, lt=1, description="enrollment photos less alike are refused: FMR 1e-2, unmasked"
    )
    data: str
    people: int = Field(ge=0)
    kept_apart: bool = Field(
        description="whether these people were kept apart from training by the fixed split"
    )
    gallery_size: int = Field(
        ge=0,
        le=10**9,
        description="largest gallery for which FPIR stays within `fpir_target` at the upper bound",
    )
    fpir_target: float = Field(gt=0, lt=1)


class Int8Embedder(_Part):
    """What was measured of the INT8 embedder by itself; its scores are not quite those of the FP32 one."""

    calibration: Calibration
    accuracy: dict[str, Any] = Field(description="figures of mfsa-evaluate, as it printed them")
    chips: str = Field(description="digest of the chips that gave the ranges")
    ranges: str = Field(description="how the ranges were chosen")
    float_layers: tuple[str, ...]


class BundledLiveness(_Part):
    """What `liveness.onnx` was measured at, by whoever brought it."""

    threshold: float = Field(
        ge=0, le=1, description="probability from which on a face counts as living"
    )


class Manifest(_Part):
    schema_version: Literal[1]
    name: str = Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
    preprocessing: str
    embedding: int = Field(ge=1, le=65536)
    attention: tuple[int, int, int]
    calibration: Calibration
    accuracy: dict[str, Any] = Field(description="figures of mfsa-evaluate, as it printed them")
    not_measured: tuple[str, ...] = Field(
        (), description="exams of mfsa-evaluate without figures, and how they are measured"
    )
    int8: Int8Embedder | None = None
    liveness: BundledLiveness | None = None
    data: str = Field(description="what the model was trained on")
    licence: str
    code_version: str
    files: dict[str, BundledFile]


class Bundle(_Part):
    """A checked bundle."""

    path: Path
    manifest: Manifest

    def onnx_path(self, network: str, precision: Precision, *, fp16_scales: bool = False) -> Path:
        """The ONNX file of a network in a precision, which the parity gate let pass; raises BundleError or EngineError."""
        name = onnx_file(network, precision, fp16_scales=fp16_scales)
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(
                f"{self.path}: holds no {network} in {precision}; name another precision or complete the bundle"
            )
        return self.path / name if precision == "fp32" else self.checked_path(name, network)

    def checked_path(self, name: str, network: str) -> Path:
        """A file that is another form of a network; raises EngineError unless the parity gate let it pass."""
        entry = self.manifest.files[name]
        check_parity_result(self.path / name, entry.verdict, entry.sha256, self.digest(network))
        return self.path / name

    def calibration(self, precision: Precision) -> Calibration:
        """The thresholds that were measured with this precision; FP16 differs from FP32 by rounding only.

        Raises BundleError where none were.
        """
        if precision != "int8":
            return self.manifest.calibration
        if self.manifest.int8 is None:
            raise BundleError(
                f"{self.path}: no thresholds were measured for the INT8 embedder; make them with mfsa-threshold"
            )
        return self.manifest.int8.calibration

    def digest(self, network: str) -> str:
        """The digest of a network's FP32 file."""
        return self.manifest.files[onnx_file(network)].sha256

    def plan_sources(self, network: str, precision: Precision) -> frozenset[str]:
        """The digests of the files that a plan of a network may be built from, so that its thresholds are its own."""
        names = {onnx_file(network, precision), onnx_file(network, precision, fp16_scales=True)}
        if precision != "int8":
            names |= {
                onnx_file(network),
                *([EMBEDDER_PRELU] if network == EMBEDDER_NETWORK else []),
            }
        return frozenset(
            entry.sha256 for name, entry in self.manifest.files.items() if name in names
        )

    @property
    def model_digest(self) -> str:
        """What a gallery belongs to: the embedder's digest."""
        return self.manifest.files[EMBEDDER].sha256


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle folder, its files unchecked; raises BundleError."""
    fields = read_fields(path)
    found = fields.get("schema_version")
    if found != SCHEMA:
        raise BundleError(
            f"{path / MANIFEST}: expected schema_version {SCHEMA}, found {found!r}; make the bundle with this version"
        )
    try:
        return parse_json(Manifest, json.dumps(fields))
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST}: {error}") from error


def open_bundle(path: Path, preprocessing: str, *, complete: bool = True) -> Bundle:
    """A bundle whose every file has the digest that the manifest names, made for this preprocessing.

    `complete`: with everything a terminal needs, as `mfsa-bundle make` leaves it.

    Raises BundleError that names the first file which is missing or changed.
    """
    manifest = read_manifest(path)
    if manifest.preprocessing != preprocessing:
        raise BundleError(
            f"{path}: the model wants preprocessing {manifest.preprocessing!r}, this version does {preprocessing!r}; "
            "use the version that made it"
        )
    absent = [name for name in REQUIRED_FILES if name not in manifest.files]
    if absent and complete:
        raise BundleError(
            f"{path}: the bundle lacks {', '.join(absent)}; complete it with: mfsa-bundle make OUT --from {path}"
        )
    check_files(path, manifest)
    return Bundle(path=path, manifest=manifest)


def check_files(path: Path, manifest: Manifest) -> None:
    """Raise BundleError that names the first file of a manifest which is missing or changed.

    Files are regular ones in the folder, and networks hold their own weights.
    """
    for name, entry in manifest.files.items():
        file = path / name
        content = read_file(file)
        check_digest(file, hashlib.sha256(content).hexdigest(), entry.sha256)
        if file.suffix == ".onnx":
            check_self_contained(file, content)


def check_self_contained(file: Path, content: bytes) -> None:
    """Raise BundleError for a file that is no ONNX network or keeps weights in other files."""
    try:
        external = has_external_data(content)
    except ValueError as error:
        raise BundleError(f"{file}: not an ONNX file: {error}; export it again") from error
    if external:
        raise BundleError(
            f"{file}: keeps weights in another file, which the digest does not cover; "
            "save the network as one file"
        )


_AGAIN = "make it again with mfsa-bundle, or mfsa-build-engine where it is a plan"


def check_parity_result(
    file: Path, verdict: ParityResult | None, digest: str, reference: str
) -> None:
    """Raises EngineError unless the parity gate passed this very file against this very network."""
    if verdict is None:
        raise EngineError(f"{file}: was never compared with the FP32 network; {_AGAIN}")
    if (verdict.judged, verdict.reference) != (digest, reference):
        raise EngineError(f"{file}: its parity verdict is about another file or network; {_AGAIN}")
    if not verdict.passed:
        raise EngineError(f"{file}: the parity gate refused it: {verdict.reason}")


def file_digest(path: Path) -> str:
    """The sha256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
