"""Build, compare and write the TensorRT plans of a bundle. Runs on the device."""

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
from edge.config.recognition import DetectorConfig
from edge.engine import Engine
from edge.engine.cuda import GpuDevice, find_device
from edge.engine.sidecar import Sidecar, sidecar_path
from edge.engine.trt import TrtEngine, import_pycuda, import_tensorrt
from edge.errors import EngineError
from edge.face.detect import FaceDetector
from edge.system.atomic_files import write_atomic
from edge.values import Precision
from export.detector_parity import check_detector
from export.parity import check_embedder
from export.parity_data import ParityReference, load_scene
from export.trt_builder import BuildOptions, BuiltPlan, build_plan, strongly_typed

_POWER_MODE = Path("/var/lib/nvpmodel/status")


@dataclass(frozen=True)
class PlanBuilder:
    """TensorRT or TensorRT for RTX, and the target GPU; None without a GPU on this machine."""

    trt: ModuleType
    device: GpuDevice | None

    @property
    def kind(self) -> Literal["tensorrt", "tensorrt_rtx"]:
        return "tensorrt_rtx" if "rtx" in self.trt.__name__ else "tensorrt"


def open_builder(*, rtx: bool) -> PlanBuilder:
    """Open the builder after a check of the driver; raises EngineError."""
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
    """Return the ONNX file for a precision; raises BundleError or EngineError if none passed."""
    if precision == "fp32" or (not strongly_typed(trt) and (precision == "fp16" or calibrated)):
        # Builder flags or the calibrator set the precision.
        with_prelu = network == EMBEDDER_NETWORK and EMBEDDER_PRELU in bundle.manifest.files
        return (
            bundle.checked_path(EMBEDDER_PRELU, network)
            if with_prelu
            else bundle.onnx_path(network, "fp32")
        )
    return bundle.onnx_path(network, precision, fp16_scales=strongly_typed(trt))


def build_with_sidecar(
    bundle: Bundle, network: str, options: BuildOptions, builder: PlanBuilder, calibration: str = ""
) -> tuple[BuiltPlan, Sidecar]:
    """Build a plan in memory with its sidecar, without a parity result.

    `calibration` is the digest of the input of TensorRT's calibrator; otherwise INT8 ranges are
    those of the Q/DQ file. Raises BundleError, ConfigError, EngineError.
    """
    source = source_file(
        bundle, network, options.precision, builder.trt, calibrated=bool(calibration)
    )
    built = build_plan(builder.trt, source, options)
    device = builder.device or GpuDevice("none", options.compute_capability or "", "")
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
    """Return nvpmodel's power mode of a Jetson, such as `pmode:0000`; empty elsewhere."""
    try:
        return _POWER_MODE.read_text(encoding="utf-8", errors="replace").strip()[:40]
    except OSError:
        return ""


def parity_result(
    bundle: Bundle, sidecar: Sidecar, engine: Engine, reference: ParityReference
) -> ParityResult:
    """Compare a plan with the FP32 network: an embedder on chips, a detector on the scene.

    Raises EngineError.
    """
    digests = {"judged": sidecar.plan, "reference": sidecar.reference}
    if sidecar.network == EMBEDDER_NETWORK:
        return check_embedder(
            engine, reference.chips, reference.expected, sidecar.precision, **digests
        )
    scene, faces = load_scene(bundle.path, sidecar.network)
    detector = FaceDetector({sidecar.network.partition("-")[2]: engine}, DetectorConfig().min_score)
    return check_detector(detector, scene, faces, sidecar.precision, **digests)


def write_plan(
    plan: Path,
    built: BuiltPlan,
    sidecar: Sidecar,
    builder: PlanBuilder,
    compare_plan: Callable[[Engine], ParityResult],
) -> Sidecar:
    """Write a plan and its sidecar; with a GPU only after it passed the parity gate.

    An earlier plan is kept until then. Raises EngineError.
    """
    if builder.device is not None and builder.kind == "tensorrt":
        engine = TrtEngine(
            plan, built.plan, builder.trt, import_pycuda(), dla_core=sidecar.dla_core
        )
        try:
            sidecar = sidecar.model_copy(update={"verdict": compare_plan(engine)})
        finally:
            engine.close()
    if sidecar.verdict is not None and not sidecar.verdict.passed:
        raise EngineError(
            f"{plan.name}: the parity gate refused it: {sidecar.verdict.reason}; "
            "nothing was written"
        )
    sidecar_file = sidecar_path(plan)
    try:
        sidecar_file.unlink(missing_ok=True)  # never a new plan with an old sidecar
        write_atomic(plan, built.plan, 0o644)
        write_atomic(sidecar_file, f"{sidecar.model_dump_json(indent=2)}\n".encode(), 0o644)
    except OSError as error:
        raise EngineError(
            f"{plan}: cannot be written ({error.strerror}); free disk space, or run as the "
            "owner of the bundle"
        ) from error
    return sidecar
