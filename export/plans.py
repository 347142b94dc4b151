"""`mfsa-build-engine`: on the device, the plans of a bundle; each goes through the parity gate before it gets its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Literal

from edge.bundle import (
    EMBEDDER_NETWORK,
    EMBEDDER_PRELU,
    Bundle,
    ParityResult,
    file_digest,
)
from edge.config.recognition import DetectorConfig as DetectorDefaults
from edge.engine import Engine
from edge.engine.cuda import Device, find_device
from edge.engine.sidecar import Sidecar, sidecar_path
from edge.engine.trt import TrtEngine, import_pycuda, import_tensorrt
from edge.errors import EngineError
from edge.face.detect import FaceDetector
from edge.system.atomic_files import write_atomic
from edge.values import Precision
from export.parity import ParityReference, check_detector, check_embedder, load_scene
from export.trt_builder import BuildOptions, BuiltPlan, build_plan, strongly_typed

_POWER_MODE = Path("/var/lib/nvpmodel/status")


@dataclass(frozen=True)
class PlanBuilder:
    """TensorRT or TensorRT for RTX, and the GPU that plans are for; None where there is none on this machine."""

    trt: ModuleType
    device: Device | None

    @property
    def kind(self) -> Literal["tensorrt", "tensorrt_rtx"]:
        return "tensorrt_rtx" if "rtx" in self.trt.__name__ else "tensorrt"


def open_builder(*, rtx: bool) -> PlanBuilder:
    """Asks the driver first; raises EngineError where TensorRT could not build here."""
    if not rtx:
        device = find_device()
        return PlanBuilder(import_tensorrt(), device)
    try:
        import tensorrt_rtx
    except ImportError as error:
        raise EngineError(
            f"TensorRT for RTX is not installed ({error}); pip install 'mfsa-edge[rtx]'"
        ) from error
    try:
        return PlanBuilder(tensorrt_rtx, find_device())
    except EngineError:
        return PlanBuilder(tensorrt_rtx, None)


def source_file(
    bundle: Bundle, network: str, precision: Precision, trt: ModuleType, *, calibrated: bool
) -> Path:
    """The ONNX file to build a precision from; raises BundleError or EngineError where the bundle holds none that passed."""
    if precision == "fp32" or (not strongly_typed(trt) and (precision == "fp16" or calibrated)):
        # The flags, or the calibrator, do the rest.
        whole = network == EMBEDDER_NETWORK and EMBEDDER_PRELU in bundle.manifest.files
        return (
            bundle.checked_path(EMBEDDER_PRELU, network)
            if whole
            else bundle.onnx_path(network, "fp32")
        )
    return bundle.onnx_path(network, precision, fp16_scales=strongly_typed(trt))


def build_with_sidecar(
    bundle: Bundle, network: str, options: BuildOptions, builder: PlanBuilder, calibration: str = ""
) -> tuple[BuiltPlan, Sidecar]:
    """A plan in memory and its sidecar, still without a verdict. Raises BundleError, ConfigError, EngineError.

    `calibration` is the digest of what TensorRT's own calibrator was given; otherwise int8 ranges are the Q/DQ file's.
    """
    source = source_file(
        bundle, network, options.precision, builder.trt, calibrated=bool(calibration)
    )
    built = build_plan(builder.trt, source, options)
    device = builder.device or Device("none", options.compute_capability or "", "")
    int8 = bundle.manifest.int8
    if not calibration and int8 is not None and options.precision == "int8":
        calibration = int8.chips
    sidecar = Sidecar(
        network=network,
        precision=options.precision,
        plan=hashlib.sha256(built.plan).hexdigest(),
        onnx=file_digest(source),
        reference=bundle.digest(network),
        builder=builder.kind,
        tensorrt=builder.trt.__version__,
        gpu=device.name,
        compute_capability=options.compute_capability or device.compute_capability,
        l4t=device.l4t,
        board=device.board,
        tensors=built.tensors,
        batch=options.batch,
        flags=built.flags,
        workspace_mib=options.workspace_mib,
        dla_core=options.dla_core,
        off_dla=built.off_dla,
        calibration=calibration,
        power_mode=_power_mode(),
        built_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        build_seconds=round(built.seconds, 2),
    )
    return built, sidecar


def _power_mode() -> str:
    """As nvpmodel keeps it on a Jetson, such as `pmode:0000`; empty elsewhere."""
    try:
        return _POWER_MODE.read_text(encoding="utf-8", errors="replace").strip()[:40]
    except OSError:
        return ""


def parity_result(
    bundle: Bundle, sidecar: Sidecar, engine: Engine, proof: ParityReference
) -> ParityResult:
    """The verdict on a plan, from chips for the embedder, from the bundle's scene for a detector. Raises EngineError."""
    digests = {"judged": sidecar.plan, "reference": sidecar.reference}
    if sidecar.network == EMBEDDER_NETWORK:
        return check_embedder(engine, proof.chips, proof.expected, sidecar.precision, **digests)
    scene, faces = load_scene(bundle.path, sidecar.network)
    detector = FaceDetector(
        {sidecar.network.partition("-")[2]: engine}, DetectorDefaults().min_score
    )
    return check_detector(detector, scene, faces, sidecar.precision, **digests)


def write_plan(
    plan: Path,
    built: BuiltPlan,
    sidecar: Sidecar,
    builder: PlanBuilder,
    judge_plan: Callable[[Engine], ParityResult],
) -> Sidecar:
    """Write the plan and its sidecar, with a GPU only once the gate has let it pass; what was there stays until then.

    Raises EngineError.
    """
    if builder.device is not None and builder.kind == "tensorrt":
        engine = TrtEngine(
            plan, built.plan, builder.trt, import_pycuda(), dla_core=sidecar.dla_core
        )
        try:
            sidecar = sidecar.model_copy(update={"verdict": judge_plan(engine)})
        finally:
            engine.close()
    if sidecar.verdict is not None and not sidecar.verdict.passed:
        raise EngineError(
            f"{plan.name}: the parity gate refused it: {sidecar.verdict.reason}; nothing was written"
        )
    beside = sidecar_path(plan)
    try:
        beside.unlink(missing_ok=True)  # never a new plan with an old verdict
        write_atomic(plan, built.plan, 0o644)
        write_atomic(beside, f"{sidecar.model_dump_json(indent=2)}\n".encode(), 0o644)
    except OSError as error:
        raise EngineError(
            f"{plan}: cannot be written ({error.strerror}); make room, or run as who owns the bundle"
        ) from error
    return sidecar
