"""Model bundle: a folder whose manifest lists each file with its digest, and the thresholds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edge.bundle_files import MANIFEST as MANIFEST
from edge.bundle_files import check_digest, read_fields, read_file
from edge.errors import BundleError, EngineError
from edge.frozen_model import FrozenModel, Sha256
from edge.onnx_file import has_external_data
from edge.parsing import parse_json
from edge.provenance import ENTRIES_MAX, ProvenanceEntry
from edge.system.digest import file_digest as file_digest
from edge.values import Precision

SCHEMA = 3  # 2: min_expected_similarity of a calibration; 3: its verification
PARITY = "parity.npz"  # chips and the outputs of the FP32 embedder for them
SCENE = "parity-detector.npz"  # a picture with faces and the results of the FP32 detectors
COMPATIBLE_MAX = 20  # embedders whose templates are accepted
SAME_PERSON_FMR = 1e-2  # of `Calibration.same_person`
VERIFICATION_FMR = 1e-4  # of `Calibration.verification`
DETECTOR_SIZES = ("640x480", "320x256")
EMBEDDER_NETWORK = "embedder"


def detector_network(size: str) -> str:
    """Return the name of the detector network of an input size."""
    return f"detector-{size}"


NETWORKS = (EMBEDDER_NETWORK, *(detector_network(size) for size in DETECTOR_SIZES))


def onnx_file(network: str, precision: Precision = "fp32", *, fp16_scales: bool = False) -> str:
    """Return the name of a network's ONNX file.

    `fp16_scales`: an INT8 file whose other parts are FP16, for strongly typed builders.
    """
    suffix = "" if precision == "fp32" else f"-{precision}"
    return f"{network}{suffix}{'-fp16' if fp16_scales and precision == 'int8' else ''}.onnx"


def plan_file(network: str, precision: Precision) -> str:
    """Return the name of a TensorRT plan, which is built on the device."""
    return f"{network}-{precision}.plan"


def detector_file(size: str) -> str:
    """Return the name of the FP32 detector file of an input size."""
    return onnx_file(detector_network(size))


EMBEDDER = onnx_file(EMBEDDER_NETWORK)
EMBEDDER_PRELU = "embedder-prelu.onnx"  # with PReLU nodes, for TensorRT
LIVENESS = "liveness.onnx"  # optional, network of the layer `passive`
EXPLANATION = "explanation.onnx"  # optional, splits scores over the face
REQUIRED_FILES = (EMBEDDER, PARITY, SCENE, *(detector_file(size) for size in DETECTOR_SIZES))


class ParityResult(FrozenModel):
    """Result of the parity gate: one file compared with the FP32 network on chips or a scene."""

    passed: bool
    reason: str = Field("", description="why the file did not pass, for people")
    judged: Sha256 = Field(description="sha256 of the file that was compared")
    reference: Sha256 = Field(description="sha256 of the FP32 ONNX file")
    samples: int = Field(ge=0)
    figures: dict[str, float] = Field(
        description="such as min_cosine and attention_error, with their bounds"
    )


class BundledFile(FrozenModel):
    """Entry of the manifest for one file."""

    sha256: Sha256
    origin: str = Field(description="source; for converted files with the digest of the source")
    licence: str
    verdict: ParityResult | None = Field(None, description="of networks in other precisions")


# Drawn masks; real masks against templates of the unmasked data; real masks against unmasked photos
# of other people in their own data, whose labels may be noisy; drawn masks on both sides.
MaskedImpostors = Literal["drawn", "real", "real-own-data", "masked-pairs"]


class OperatingPoint(FrozenModel):
    """Threshold with the error rates that were measured at it."""

    threshold: float = Field(gt=-1, lt=1)
    target_fmr: float = Field(gt=0, lt=1)
    fmr: float = Field(ge=0, le=1)
    fmr_upper: float = Field(ge=0, le=1, description="95 % upper bound by bootstrap over people")
    comparisons: int = Field(ge=0, description="non-mated")
    fnmr: float = Field(ge=0, le=1)
    fnmr_upper: float = Field(ge=0, le=1)
    mated: int = Field(ge=0)


class VerificationPoints(FrozenModel):
    """Operating points of 1:1 comparisons, with the person whose card or PIN was presented."""

    unmasked: OperatingPoint
    masked: OperatingPoint


class ImpostorExam(FrozenModel):
    """False matches of one kind of masked impostors at the masked threshold."""

    impostors: MaskedImpostors
    fixes: bool = Field(description="true if the exam takes part in fixing the masked threshold")
    target_fmr: float = Field(
        gt=0, lt=1, description="the smallest FMR of at least the target that the data supports"
    )
    threshold: float = Field(gt=-1, lt=1, description="at which these impostors meet target_fmr")
    fmr: float = Field(ge=0, le=1, description="at the masked threshold")
    fmr_upper: float = Field(ge=0, le=1, description="95 % upper bound by bootstrap over people")
    comparisons: int = Field(ge=1, description="non-mated")
    pictures: int = Field(ge=1, description="masked probes")
    people: int = Field(ge=1, description="people of the masked probes")


class Calibration(FrozenModel):
    """Thresholds of an embedder, measured on data that it was not trained on."""

    embedder: Sha256 = Field(description="sha256 of the ONNX file that was measured")
    unmasked: OperatingPoint
    masked: OperatingPoint
    verification: VerificationPoints = Field(description="of 1:1 comparisons, FMR 1e-4")
    masked_exams: tuple[ImpostorExam, ...] = Field(
        default=(), description="impostors that were measured at the masked threshold"
    )
    masked_fixed_by: MaskedImpostors | None = Field(
        default=None, description="impostors with the highest threshold; null: drawn masks only"
    )
    same_person: float = Field(
        gt=-1,
        lt=1,
        description="least score between photos of one person at enrollment: FMR 1e-2, unmasked",
    )
    min_expected_similarity: float = Field(
        ge=0,
        le=1,
        description="expected similarity below which a face is refused as hidden; 0: none is",
    )
    data: str
    people: int = Field(ge=0)
    kept_apart: bool = Field(
        description="true if the fixed split kept these people apart from training"
    )
    gallery_size: int = Field(
        ge=0,
        le=10**9,
        description="largest gallery for which FPIR stays within `fpir_target` at the upper bound",
    )
    fpir_target: float = Field(gt=0, lt=1)


class Int8Embedder(FrozenModel):
    """Measurements of the INT8 embedder, whose scores differ from those of the FP32 embedder."""

    calibration: Calibration
    accuracy: dict[str, Any] = Field(description="figures of mfsa-evaluate, as it printed them")
    chips: str = Field(description="digest of the chips that gave the ranges")
    ranges: str = Field(description="how the ranges were chosen")
    float_layers: tuple[str, ...]


class BundledLiveness(FrozenModel):
    """Threshold of `liveness.onnx`."""

    threshold: float = Field(ge=0, le=1, description="least probability of a living face")


class Manifest(FrozenModel):
    """Content of manifest.json."""

    schema_version: Literal[3]
    name: str = Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
    preprocessing: str
    embedding: int = Field(ge=1, le=65536)
    attention: tuple[int, int, int]
    calibration: Calibration
    accuracy: dict[str, Any] = Field(description="figures of mfsa-evaluate, as it printed them")
    not_measured: tuple[str, ...] = Field(
        (), description="protocols of mfsa-evaluate without figures, and their options"
    )
    int8: Int8Embedder | None = None
    liveness: BundledLiveness | None = None
    data: str = Field(description="training data, for people")
    licence: str
    provenance: tuple[ProvenanceEntry, ...] = Field(
        (), max_length=ENTRIES_MAX, description="sources of weights and data; empty: unknown"
    )
    compatible_with: tuple[Sha256, ...] = Field(
        (),
        max_length=COMPATIBLE_MAX,
        description="digests of other embedders whose templates this embedder accepts",
    )
    code_version: str
    files: dict[str, BundledFile]


class Bundle(FrozenModel):
    """Bundle whose files were checked against the manifest."""

    path: Path
    manifest: Manifest

    def onnx_path(self, network: str, precision: Precision, *, fp16_scales: bool = False) -> Path:
        """Return the ONNX file of a network in a precision.

        Raises BundleError if there is none, EngineError if it did not pass the parity gate.
        """
        name = onnx_file(network, precision, fp16_scales=fp16_scales)
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(
                f"{self.path}: no {network} in {precision} in the bundle; name another precision "
                "or complete the bundle with mfsa-bundle make"
            )
        return self.path / name if precision == "fp32" else self.checked_path(name, network)

    def checked_path(self, name: str, network: str) -> Path:
        """Return a converted file of a network; raises EngineError if the gate refused it."""
        entry = self.manifest.files[name]
        check_parity_result(self.path / name, entry.verdict, entry.sha256, self.digest(network))
        return self.path / name

    def calibration(self, precision: Precision) -> Calibration:
        """Return the thresholds for a precision; raises BundleError if none were measured.

        FP16 uses those of FP32: it differs by rounding only.
        """
        if precision != "int8":
            return self.manifest.calibration
        if self.manifest.int8 is None:
            raise BundleError(
                f"{self.path}: no thresholds for the INT8 embedder; "
                "measure them with mfsa-threshold"
            )
        return self.manifest.int8.calibration

    def digest(self, network: str) -> str:
        """Return the digest of a network's FP32 file."""
        return self.manifest.files[onnx_file(network)].sha256

    def plan_sources(self, network: str, precision: Precision) -> frozenset[str]:
        """Return the digests of the files that a plan may be built from to keep its thresholds."""
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
        """Digest of the FP32 embedder; its templates are stored with this digest."""
        return self.manifest.files[EMBEDDER].sha256

    @property
    def compatible_with(self) -> tuple[str, ...]:
        """Model digests of other embedders whose templates this embedder accepts."""
        return self.manifest.compatible_with


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of a bundle folder without its files; raises BundleError."""
    fields = read_fields(path)
    found = fields.get("schema_version")
    if found != SCHEMA:
        raise BundleError(
            f"{path / MANIFEST}: expected schema_version {SCHEMA}, found {found!r}; "
            "make the bundle with this version"
        )
    try:
        return parse_json(Manifest, json.dumps(fields))
    except ValueError as error:
        raise BundleError(f"{path / MANIFEST}: {error}") from error


def open_bundle(path: Path, preprocessing: str, *, complete: bool = True) -> Bundle:
    """Open a bundle and check the digest of each file.

    `complete`: also require the files that a terminal needs, as `mfsa-bundle make` writes them.
    Raises BundleError with the first missing or changed file, or for another preprocessing.
    """
    manifest = read_manifest(path)
    if manifest.preprocessing != preprocessing:
        raise BundleError(
            f"{path}: the model needs preprocessing {manifest.preprocessing!r}, this version has "
            f"{preprocessing!r}; use the version that made the bundle"
        )
    absent = [name for name in REQUIRED_FILES if name not in manifest.files]
    if absent and complete:
        raise BundleError(
            f"{path}: the bundle lacks {', '.join(absent)}; "
            f"complete it with: mfsa-bundle make OUT --from {path}"
        )
    check_files(path, manifest)
    return Bundle(path=path, manifest=manifest)


def check_files(path: Path, manifest: Manifest) -> None:
    """Raise BundleError with the first missing or changed file of a manifest.

    Files must be regular files in the folder, and networks must contain their weights.
    """
    for name, entry in manifest.files.items():
        file = path / name
        content = read_file(file)
        check_digest(file, hashlib.sha256(content).hexdigest(), entry.sha256)
        if file.suffix == ".onnx":
            check_self_contained(file, content)


def check_self_contained(file: Path, content: bytes) -> None:
    """Raise BundleError if a file is not an ONNX network or has weights in other files."""
    try:
        external = has_external_data(content)
    except ValueError as error:
        raise BundleError(f"{file}: not an ONNX file: {error}; export it again") from error
    if external:
        raise BundleError(
            f"{file}: keeps weights in another file, which the digest does not cover; "
            "save the network as one file"
        )


_AGAIN = "make it again with mfsa-bundle, or with mfsa-build-engine if it is a plan"


def check_parity_result(
    file: Path, verdict: ParityResult | None, digest: str, reference: str
) -> None:
    """Raise EngineError unless a file passed the parity gate against a network, by digests."""
    if verdict is None:
        raise EngineError(f"{file}: not compared with the FP32 network yet; {_AGAIN}")
    if (verdict.judged, verdict.reference) != (digest, reference):
        raise EngineError(f"{file}: its parity result is for another file or network; {_AGAIN}")
    if not verdict.passed:
        raise EngineError(f"{file}: the parity gate refused it: {verdict.reason}")
