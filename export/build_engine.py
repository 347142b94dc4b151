"""`mfsa-build-engine`: on the device, the plans of a bundle; each goes through the parity gate before it gets its name."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

from calibration.faces import pick_faces
from calibration.int8.legacy import entropy_calibrator
from edge.bundle import (
    EMBEDDER_NETWORK,
    WHOLE,
    Bundle,
    Verdict,
    file_digest,
    open_bundle,
    plan_file,
)
from edge.chip import PREPROCESSING, to_input
from edge.cli import common
from edge.config.recognition import DetectorConfig as DetectorDefaults
from edge.engine import Engine
from edge.engine.cuda import Device, find_device
from edge.engine.sidecar import Sidecar, sidecar_path
from edge.engine.trt import TrtEngine, import_pycuda, import_tensorrt
from edge.errors import ConfigError, EngineError
from edge.face.detect import FaceDetector
from edge.system.atomic_files import write_atomic
from edge.values import Precision
from export import commands
from export.parity import Proof, detector_verdict, embedder_verdict, load_scene
from export.to_engine import BuildOptions, Built, build_plan, has_calibrators, strongly_typed

_POWER_MODE = Path("/var/lib/nvpmodel/status")
_SITE_CHIPS = 512


@dataclass(frozen=True)
class Builder:
    """TensorRT or TensorRT for RTX, and the GPU that plans are for; None where there is none on this machine."""

    trt: ModuleType
    device: Device | None

    @property
    def kind(self) -> str:
        return "tensorrt_rtx" if "rtx" in self.trt.__name__ else "tensorrt"


def open_builder(*, rtx: bool) -> Builder:
    """Asks the driver first; raises EngineError where TensorRT could not build here."""
    if not rtx:
        device = find_device()
        return Builder(import_tensorrt(), device)
    try:
        import tensorrt_rtx
    except ImportError as error:
        raise EngineError(
            f"TensorRT for RTX is not installed ({error}); pip install 'mfsa-edge[rtx]'"
        ) from error
    try:
        return Builder(tensorrt_rtx, find_device())
    except EngineError:
        return Builder(tensorrt_rtx, None)


def source_file(
    bundle: Bundle, network: str, precision: Precision, trt: ModuleType, *, calibrated: bool
) -> Path:
    """The ONNX file to build a precision from; raises BundleError or EngineError where the bundle holds none that passed."""
    if precision == "fp32" or (not strongly_typed(trt) and (precision == "fp16" or calibrated)):
        # The flags, or the calibrator, do the rest.
        whole = network == EMBEDDER_NETWORK and WHOLE in bundle.manifest.files
        return bundle.passed(WHOLE, network) if whole else bundle.onnx_path(network, "fp32")
    return bundle.onnx_path(network, precision, half_rest=strongly_typed(trt))


def build(
    bundle: Bundle, network: str, options: BuildOptions, builder: Builder, calibration: str = ""
) -> tuple[Built, Sidecar]:
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
        builder=builder.kind,  # type: ignore[arg-type]
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


def pass_gate(bundle: Bundle, sidecar: Sidecar, engine: Engine, proof: Proof) -> Verdict:
    """The verdict on a plan, from chips for the embedder, from the bundle's scene for a detector. Raises EngineError."""
    digests = {"judged": sidecar.plan, "reference": sidecar.reference}
    if sidecar.network == EMBEDDER_NETWORK:
        return embedder_verdict(engine, proof.chips, proof.expected, sidecar.precision, **digests)
    scene, faces = load_scene(bundle.path, sidecar.network)
    detector = FaceDetector(
        {sidecar.network.partition("-")[2]: engine}, DetectorDefaults().min_score
    )
    return detector_verdict(detector, scene, faces, sidecar.precision, **digests)


def finish(
    plan: Path,
    built: Built,
    sidecar: Sidecar,
    builder: Builder,
    judge_plan: Callable[[Engine], Verdict],
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


def main(argv: list[str] | None = None) -> int:
    args = commands.build_engine_parser().parse_args(argv)
    return common.run("mfsa-build-engine", lambda: _build(args))


def _build(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle, PREPROCESSING)
    _check(args)
    builder = open_builder(rtx=args.rtx)
    if args.rtx and builder.device is None and not args.compute_capability:
        raise ConfigError(
            "no GPU here: name the one to build for with --compute-capability, such as 8.6"
        )
    proof = Proof.of(bundle, args.chips, _SITE_CHIPS)
    print(
        f"{builder.kind} {builder.trt.__version__} on {platform.machine()}, GPU {_named(builder.device)}"
    )
    for network in args.network:
        _build_one(args, bundle, builder, network, proof)
    return common.DONE


def _check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what cannot be, before minutes of work."""
    if args.compute_capability and not args.rtx:
        raise ConfigError(
            "--compute-capability: only with --rtx; TensorRT builds for the GPU that is here"
        )
    if args.calibrate and (
        args.precision != "int8" or EMBEDDER_NETWORK not in args.network or args.rtx
    ):
        raise ConfigError(
            "--calibrate: only with --precision int8, for the embedder, and not with --rtx"
        )
    common.check_out(args.bundle / plan_file(EMBEDDER_NETWORK, args.precision), args.timing_cache)
    for network in args.network:
        _options(args, network)


def _named(device: Device | None) -> str:
    return (
        "none"
        if device is None
        else f"{device.name} ({device.board or 'compute capability ' + device.compute_capability})"
    )


def _build_one(
    args: argparse.Namespace, bundle: Bundle, builder: Builder, network: str, proof: Proof
) -> None:
    options = _options(args, network)
    if args.calibrate and network == EMBEDDER_NETWORK:
        with _calibrator(builder.trt, args.calibrate, bundle, options.batch[1]) as (
            calibrator,
            digest,
        ):
            built, sidecar = build(
                bundle, network, replace(options, calibrator=calibrator), builder, digest
            )
    else:
        built, sidecar = build(bundle, network, options, builder)
    # A plan of TensorRT for RTX runs on no Jetson: it gets a name that no terminal looks for.
    name = plan_file(network, options.precision)
    plan = bundle.path / (f"rtx-{name}" if args.rtx else name)
    sidecar = finish(
        plan, built, sidecar, builder, lambda engine: pass_gate(bundle, sidecar, engine, proof)
    )
    print(f"{plan.name}: {len(built.plan) / 1e6:.2f} MB in {built.seconds:.1f} s, {_told(sidecar)}")
    for layer in built.off_dla:
        print(f"  runs on the GPU, not on the DLA: {layer}")
    for warning in dict.fromkeys(built.warnings):
        print(f"  TensorRT warns: {warning}", file=sys.stderr)
    if args.calibrate and network == EMBEDDER_NETWORK:
        print(
            "  its ranges are not the Q/DQ file's: measure its thresholds with mfsa-threshold --bundle --plan before use"
        )


def _options(args: argparse.Namespace, network: str) -> BuildOptions:
    embedder = network == EMBEDDER_NETWORK
    static = not embedder or args.dla is not None
    return BuildOptions(
        precision=args.precision if embedder or args.precision != "int8" else "fp16",
        batch=((args.batch,) * 3 if embedder else (1, 1, 1)) if static else (1, 1, args.batch),  # type: ignore[arg-type]
        workspace_mib=args.workspace,
        timing_cache=args.timing_cache,
        dla_core=args.dla,
        compute_capability=args.compute_capability,
    )


@contextmanager
def _calibrator(
    trt: ModuleType, source: Path, bundle: Bundle, batch: int
) -> Iterator[tuple[object, str]]:
    """TensorRT's own calibrator and the digest of what it is given; the GPU's context is current meanwhile."""
    if not has_calibrators(trt):
        raise EngineError(
            f"TensorRT {trt.__version__} has no calibrators; leave --calibrate out and build from the Q/DQ file"
        )
    chips = pick_faces(source, _SITE_CHIPS)
    digest = hashlib.sha256(chips.tobytes() + bundle.model_digest.encode()).hexdigest()
    cuda = import_pycuda()
    primary = cuda.Device(0).retain_primary_context()
    primary.push()
    try:
        calibrator = entropy_calibrator(
            trt, cuda, to_input(chips), bundle.path / f"embedder-{digest[:16]}.calibration", batch
        )
        try:
            yield calibrator, digest
        finally:
            calibrator.free()
    finally:
        cuda.Context.pop()
        primary.detach()


def _told(sidecar: Sidecar) -> str:
    verdict = sidecar.verdict
    if verdict is None:
        return (
            "NOT compared with the FP32 network, for it cannot run here; a terminal will refuse it"
        )
    figures = ", ".join(
        f"{name} {value:.4g}"
        for name, value in verdict.figures.items()
        if not name.endswith("bound")
    )
    return f"passed on {verdict.samples} samples: {figures}"


if __name__ == "__main__":
    sys.exit(main())
