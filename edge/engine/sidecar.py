"""What is known of a TensorRT plan, in JSON beside it: what it was built from and for, and the verdict of the parity gate.

A plan runs only on the TensorRT version and the GPU model that built it. Nothing can ask a plan beforehand, so the
sidecar is compared with the running machine, and the field that differs is named.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.bundle import ParityResult, check_parity_result
from edge.bundle_files import read_file
from edge.engine.cuda import Device
from edge.errors import BundleError, EngineError
from edge.parsing import parse_json
from edge.values import Precision

SCHEMA = 1
SIDECAR_BYTES_MAX = 1 << 20
BUILD_REMEDY = "build the engine with mfsa-build-engine"
_SHA256 = r"^[0-9a-f]{64}$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlanTensor(_Part):
    """One input or output of a plan; -1 stands for a batch that the profile bounds."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Sidecar(_Part):
    schema_version: Literal[1] = 1
    network: str = Field(description="embedder or detector-<size>")
    precision: Precision
    plan: str = Field(description="sha256 of the plan", pattern=_SHA256)
    onnx: str = Field(description="sha256 of the ONNX file that it was built from", pattern=_SHA256)
    reference: str = Field(description="sha256 of the network's FP32 ONNX file", pattern=_SHA256)
    builder: Literal["tensorrt", "tensorrt_rtx"]
    tensorrt: str
    gpu: str
    compute_capability: str
    l4t: str
    board: str
    tensors: tuple[PlanTensor, ...]
    batch: tuple[int, int, int] = Field(description="least, best and largest batch")
    flags: tuple[str, ...]
    workspace_mib: int
    dla_core: int | None = None
    off_dla: tuple[str, ...] = Field(
        (), description="layers that run on the GPU although a DLA was asked for"
    )
    calibration: str = Field(
        "",
        description="digest of the chips that gave the int8 ranges, or of chips and network for TensorRT's own calibrator",
    )
    power_mode: str = ""
    built_at: str
    build_seconds: float
    verdict: ParityResult | None = None


def sidecar_path(plan: Path) -> Path:
    return plan.with_suffix(plan.suffix + ".json")


def read_sidecar(plan: Path) -> Sidecar:
    """Raises EngineError where it is missing or wrong."""
    path = sidecar_path(plan)
    try:
        return parse_json(Sidecar, read_file(path, SIDECAR_BYTES_MAX, BUILD_REMEDY))
    except BundleError as error:
        raise EngineError(str(error)) from error
    except ValueError as error:
        raise EngineError(
            f"{path}: {error}; build the engine again with mfsa-build-engine"
        ) from error


@dataclass(frozen=True)
class PlanRequirements:
    """What a plan is opened for: a network of a bundle in a precision."""

    network: str
    precision: Precision
    reference: str  # digest of its FP32 ONNX file
    sources: frozenset[str]  # digests of the files that it may have been built from
    calibrated: str = (
        ""  # digest of the plan that the thresholds were measured with, where it was a plan
    )


def check_sidecar(
    plan: Path,
    content: bytes,
    sidecar: Sidecar,
    device: Device,
    tensorrt: str,
    required: PlanRequirements,
) -> None:
    """Raises EngineError that names the first thing in which the plan, this machine or the model differ.

    Without a passing verdict of the parity gate for this very content a plan is refused, and one whose scores are not
    those of the file that its thresholds were measured with.
    """
    rebuild = "build the engine again with mfsa-build-engine"
    fields = (
        ("network", sidecar.network, required.network),
        ("precision", sidecar.precision, required.precision),
        ("builder", sidecar.builder, "tensorrt"),
        ("TensorRT", sidecar.tensorrt, tensorrt),
        ("board", sidecar.board, device.board),
        ("GPU", sidecar.gpu, device.name),
        ("compute capability", sidecar.compute_capability, device.compute_capability),
        ("L4T release", sidecar.l4t, device.l4t),
        ("FP32 network", sidecar.reference, required.reference),
    )
    for what, built, here in fields:
        if built != here:
            raise EngineError(
                f"{plan}: built with {what} {built or 'none'}, found {here or 'none'} here; {rebuild}"
            )
    digest = hashlib.sha256(content).hexdigest()
    if digest != sidecar.plan:
        raise EngineError(
            f"{plan}: sha256 is {digest[:12]}..., its sidecar says {sidecar.plan[:12]}...; {rebuild}"
        )
    if sidecar.onnx not in required.sources and digest != required.calibrated:
        raise EngineError(
            f"{plan}: built from an ONNX file that is not the bundle's {required.precision} form, "
            f"so the thresholds are not its own; {rebuild}, or measure them with mfsa-threshold --bundle --plan"
        )
    check_parity_result(plan, sidecar.verdict, digest, required.reference)
