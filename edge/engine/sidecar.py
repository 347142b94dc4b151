"""Sidecar of a TensorRT plan: a JSON file with its origin, its target and its parity result.

A plan runs only on the TensorRT version and GPU model that built it. A plan cannot be queried
before it is loaded, so the sidecar is compared with this machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edge.bundle import ParityResult, check_parity_result
from edge.bundle_files import read_file
from edge.engine.cuda import GpuDevice
from edge.errors import BundleError, EngineError
from edge.frozen_model import FrozenModel, Sha256
from edge.parsing import parse_json
from edge.values import Precision

SCHEMA = 1
SIDECAR_BYTES_MAX = 1 << 20
BUILD_REMEDY = "build the engine with mfsa-build-engine"


class PlanTensor(FrozenModel):
    """Input or output of a plan; a batch of -1 is bounded by the profile."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Sidecar(FrozenModel):
    """Origin, target and parity result of a plan."""

    schema_version: Literal[1] = 1
    network: str = Field(description="embedder or detector-<size>")
    precision: Precision
    plan: Sha256 = Field(description="sha256 of the plan")
    onnx: Sha256 = Field(description="sha256 of the ONNX file that the plan was built from")
    reference: Sha256 = Field(description="sha256 of the network's FP32 ONNX file")
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
        (), description="layers that run on the GPU instead of the DLA"
    )
    calibration: str = Field(
        "",
        description="digest of the chips that gave the int8 ranges; with the network for "
        "TensorRT's own calibrator",
    )
    power_mode: str = ""
    built_at: str
    build_seconds: float
    verdict: ParityResult | None = None


def sidecar_path(plan: Path) -> Path:
    """Return the path of the sidecar of a plan."""
    return plan.with_suffix(plan.suffix + ".json")


def read_sidecar(plan: Path) -> Sidecar:
    """Read the sidecar of a plan; raises EngineError if it is missing or invalid."""
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
    """Network of a bundle and precision that a plan is opened for."""

    network: str
    precision: Precision
    reference: str  # digest of its FP32 ONNX file
    sources: frozenset[str]  # digests of the ONNX files that it may have been built from
    calibrated: str = ""  # digest of the plan that the thresholds were measured with


def check_sidecar(
    plan: Path,
    content: bytes,
    sidecar: Sidecar,
    device: GpuDevice,
    tensorrt: str,
    required: PlanRequirements,
) -> None:
    """Raise EngineError with the first difference between the plan, this machine and the model.

    The plan must have a passing parity result for this content, and must be built from a file
    that the thresholds were measured with.
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
                f"{plan}: built with {what} {built or 'none'}, found {here or 'none'} "
                f"here; {rebuild}"
            )
    digest = hashlib.sha256(content).hexdigest()
    if digest != sidecar.plan:
        raise EngineError(
            f"{plan}: sha256 is {digest[:12]}..., its sidecar says "
            f"{sidecar.plan[:12]}...; {rebuild}"
        )
    if sidecar.onnx not in required.sources and digest != required.calibrated:
        raise EngineError(
            f"{plan}: built from an ONNX file that is not the bundle's {required.precision} form, "
            f"so the thresholds are not its own; {rebuild}, or measure them with "
            "mfsa-threshold --bundle --plan"
        )
    check_parity_result(plan, sidecar.verdict, digest, required.reference)
