"""Command `mfsa-build-engine`: build the TensorRT engines of a bundle."""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from calibration.faces import pick_faces
from calibration.int8.legacy import entropy_calibrator
from edge.bundle import (
    EMBEDDER_NETWORK,
    Bundle,
    open_bundle,
    plan_file,
)
from edge.chip import PREPROCESSING, to_input
from edge.cli import common
from edge.engine.cuda import GpuDevice
from edge.engine.sidecar import Sidecar
from edge.engine.trt import import_pycuda
from edge.errors import ConfigError, EngineError
from export.cli import parsers
from export.parity_data import ParityReference
from export.plans import PlanBuilder, build_with_sidecar, open_builder, parity_result, write_plan
from export.trt_builder import BuildOptions, has_calibrators

_SITE_CHIPS = 512


def main(argv: list[str] | None = None) -> int:
    args = parsers.build_engine_parser().parse_args(argv)
    return common.run("mfsa-build-engine", lambda: _build(args))


def _build(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle, PREPROCESSING)
    _check(args)
    builder = open_builder(rtx=args.rtx)
    if args.rtx and builder.device is None and not args.compute_capability:
        raise ConfigError(
            "no GPU on this machine: name the target with --compute-capability, such as 8.6"
        )
    parity = ParityReference.load(bundle, args.chips, _SITE_CHIPS)
    print(
        f"{builder.kind} {builder.trt.__version__} on {platform.machine()}, "
        f"GPU {_gpu_name(builder.device)}"
    )
    for network in args.network:
        _build_one(args, bundle, builder, network, parity)
    return common.DONE


def _check(args: argparse.Namespace) -> None:
    """Raise ConfigError for options that contradict each other, before minutes of work."""
    if args.compute_capability and not args.rtx:
        raise ConfigError(
            "--compute-capability: only with --rtx; TensorRT builds for the GPU of this machine"
        )
    if args.calibrate and (
        args.precision != "int8" or EMBEDDER_NETWORK not in args.network or args.rtx
    ):
        raise ConfigError(
            "--calibrate: only with --precision int8, for the embedder, and not with --rtx"
        )
    common.check_output_files(
        args.bundle / plan_file(EMBEDDER_NETWORK, args.precision), args.timing_cache
    )
    for network in args.network:
        _options(args, network)


def _gpu_name(device: GpuDevice | None) -> str:
    return (
        "none"
        if device is None
        else f"{device.name} ({device.board or 'compute capability ' + device.compute_capability})"
    )


def _build_one(
    args: argparse.Namespace,
    bundle: Bundle,
    builder: PlanBuilder,
    network: str,
    parity: ParityReference,
) -> None:
    options = _options(args, network)
    if args.calibrate and network == EMBEDDER_NETWORK:
        with _calibrator(builder.trt, args.calibrate, bundle, options.batch[1]) as (
            calibrator,
            digest,
        ):
            built, sidecar = build_with_sidecar(
                bundle, network, replace(options, calibrator=calibrator), builder, digest
            )
    else:
        built, sidecar = build_with_sidecar(bundle, network, options, builder)
    # A plan of TensorRT for RTX does not run on a Jetson; terminals ignore this name.
    name = plan_file(network, options.precision)
    plan = bundle.path / (f"rtx-{name}" if args.rtx else name)
    sidecar = write_plan(
        plan, built, sidecar, builder, lambda engine: parity_result(bundle, sidecar, engine, parity)
    )
    print(
        f"{plan.name}: {len(built.plan) / 1e6:.2f} MB in {built.seconds:.1f} s, "
        f"{_describe(sidecar)}"
    )
    for layer in built.off_dla:
        print(f"  runs on the GPU, not on the DLA: {layer}")
    for warning in dict.fromkeys(built.warnings):
        print(f"  TensorRT warns: {warning}", file=sys.stderr)
    if args.calibrate and network == EMBEDDER_NETWORK:
        print(
            "  its ranges differ from the Q/DQ file: measure its thresholds before use with "
            "mfsa-threshold --bundle --plan"
        )


def _options(args: argparse.Namespace, network: str) -> BuildOptions:
    embedder = network == EMBEDDER_NETWORK
    static = not embedder or args.dla is not None
    return BuildOptions(
        precision=args.precision if embedder or args.precision != "int8" else "fp16",
        batch=((args.batch,) * 3 if embedder else (1, 1, 1)) if static else (1, 1, args.batch),
        workspace_mib=args.workspace,
        timing_cache=args.timing_cache,
        dla_core=args.dla,
        compute_capability=args.compute_capability,
    )


@contextmanager
def _calibrator(
    trt: ModuleType, source: Path, bundle: Bundle, batch: int
) -> Iterator[tuple[object, str]]:
    """Yield TensorRT's calibrator and the digest of its input, with the GPU's context current."""
    if not has_calibrators(trt):
        raise EngineError(
            f"TensorRT {trt.__version__} has no calibrators; remove --calibrate to build from the "
            "Q/DQ file"
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


def _describe(sidecar: Sidecar) -> str:
    verdict = sidecar.verdict
    if verdict is None:
        return (
            "NOT compared with the FP32 network, since it cannot run on this machine; "
            "a terminal will refuse it"
        )
    figures = ", ".join(
        f"{name} {value:.4g}"
        for name, value in verdict.figures.items()
        if not name.endswith("bound")
    )
    return f"passed on {verdict.samples} samples: {figures}"


if __name__ == "__main__":
    sys.exit(main())
