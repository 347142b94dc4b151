"""Builder of TensorRT plans for versions 8.6 to 11 and for TensorRT for RTX.

    up to 10    precisions are flags (FP16, INT8 with Q/DQ in the ONNX file); entropy calibrator
    from 11     networks are strongly typed: the ONNX file alone decides, INT8 is Q/DQ
    RTX         as 11; builds for named compute capabilities on a machine without a GPU

Runs on the device, without torch. The features of a version are detected.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from edge.engine.sidecar import PlanTensor
from edge.engine.trt import shared_logger
from edge.errors import ConfigError, EngineError
from edge.values import Precision

_MIB = 1 << 20


@dataclass(frozen=True)
class BuildOptions:
    """Options of a plan."""

    precision: Precision
    batch: tuple[int, int, int] = (1, 1, 1)  # least, best, largest; static if all are equal
    workspace_mib: int = 1024
    timing_cache: Path | None = None
    dla_core: int | None = None
    compute_capability: str | None = None  # such as 8.6, for RTX on a machine without that GPU
    calibrator: Any = None  # of `calibration.int8.legacy`, if the version has calibrators

    def __post_init__(self) -> None:
        least, best, largest = self.batch
        if not 1 <= least <= best <= largest:  # TensorRT itself does not complain
            raise ConfigError(
                f"batch: expected 1 <= least <= best <= largest, found {least}, {best}, {largest}"
            )
        if self.workspace_mib < 1:
            raise ConfigError(f"workspace: expected at least 1 MiB, found {self.workspace_mib}")
        if self.dla_core is not None and least != largest:
            raise ConfigError("a DLA takes static shapes only: name one batch size")
        if self.dla_core is not None and self.precision == "fp32":
            raise ConfigError("a DLA computes in fp16 or int8, not in fp32")


@dataclass(frozen=True)
class BuiltPlan:
    """Plan with the values that its sidecar states."""

    plan: bytes
    tensors: tuple[PlanTensor, ...]
    flags: tuple[str, ...]
    off_dla: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = field(default=())


def strongly_typed(trt: ModuleType) -> bool:
    """Return True if the ONNX file alone sets precisions; this decides which file is built from."""
    return not hasattr(trt.BuilderFlag, "FP16")


def has_calibrators(trt: ModuleType) -> bool:
    return hasattr(trt, "IInt8EntropyCalibrator2")


def build_plan(trt: ModuleType, model: Path, options: BuildOptions) -> BuiltPlan:
    """Build a serialised plan of an ONNX file with one input.

    Raises EngineError with the node that TensorRT refuses.
    """
    log = shared_logger(trt)
    log.clear()
    started = time.monotonic()
    try:
        builder = trt.Builder(log.logger)
    except TypeError as error:  # it got nothing from the driver
        raise EngineError(
            f"TensorRT {trt.__version__} cannot build on this machine: {log.reason()}; "
            "the driver may be too old for it"
        ) from error
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(model.read_bytes()):
        raise EngineError(f"{model}: TensorRT {trt.__version__} refuses it: {_refusals(parser)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * _MIB)
    flags = _set_precision(trt, config, network, options)
    _set_shapes(builder, config, network, options)
    if options.compute_capability is not None:
        _set_target(trt, config, options.compute_capability)
    off_dla = _set_dla(trt, builder, config, network, options.dla_core, flags)
    cache = _open_cache(config, options.timing_cache)
    with _progress(trt, config, model.name):
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{model}: TensorRT {trt.__version__} builds no engine: {log.reason()}")
    if cache is not None and options.timing_cache is not None:
        try:
            options.timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
        except OSError as error:  # the plan is what was asked for
            log.warnings.append(
                f"{options.timing_cache}: the timing cache cannot be written ({error.strerror})"
            )
    return BuiltPlan(
        bytes(plan),
        _tensors(network),
        tuple(flags),
        off_dla,
        time.monotonic() - started,
        tuple(log.warnings),
    )


def _network_flags(trt: ModuleType) -> int:
    kinds = trt.NetworkDefinitionCreationFlag
    return 1 << int(kinds.EXPLICIT_BATCH) if hasattr(kinds, "EXPLICIT_BATCH") else 0


def _refusals(parser: Any) -> str:
    """Return each error with its node; versions before 10 name it in the description only."""
    errors = []
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        where = f"node {error.node()}"
        if hasattr(error, "node_name"):
            where += f" {error.node_name()} ({error.node_operator()})"
        errors.append(f"{where}: {' '.join(error.desc().split())}")
    return "; ".join(errors) or "TensorRT gave no reason"


def _set_precision(trt: ModuleType, config: Any, network: Any, options: BuildOptions) -> list[str]:
    """Set precision flags if the version has them, and return their names.

    INT8 includes FP16 for the other layers.
    """
    if options.precision == "fp32":
        config.clear_flag(
            trt.BuilderFlag.TF32
        )  # on by default, and 10 bits of mantissa are not FP32
    if strongly_typed(trt):
        return []
    names = {"fp32": [], "fp16": ["FP16"], "int8": ["INT8", "FP16"]}[options.precision]
    for name in names:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if "FP16" in names:
        # The attention is a share of one: its softmax stays in float32, as in FP16 ONNX files.
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
        for layer in _layers(network):
            if layer.type == trt.LayerType.SOFTMAX:
                layer.precision = trt.DataType.FLOAT
    if options.calibrator is not None:
        config.int8_calibrator = options.calibrator
    return names


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(i) for i in range(network.num_layers))


def _set_shapes(builder: Any, config: Any, network: Any, options: BuildOptions) -> None:
    """Set a profile for dynamic batches; a single size is fixed, which a DLA needs."""
    taken = network.get_input(0)
    shape = tuple(taken.shape)
    least, best, largest = options.batch
    if shape[0] != -1:
        if (shape[0],) * 3 != options.batch:
            raise EngineError(
                f"the ONNX file is for batches of {shape[0]}, the options ask for "
                f"{least} to {largest}"
            )
    elif least == largest:
        taken.shape = (largest, *shape[1:])
    else:
        profile = builder.create_optimization_profile()
        profile.set_shape(taken.name, *((size, *shape[1:]) for size in (least, best, largest)))
        if config.add_optimization_profile(profile) < 0:
            raise EngineError(f"TensorRT takes no profile for batches of {least} to {largest}")
        if options.calibrator is not None:
            config.set_calibration_profile(profile)


def _set_target(trt: ModuleType, config: Any, capability: str) -> None:
    known = getattr(trt, "ComputeCapability", None)
    if known is None:
        raise ConfigError(
            f"TensorRT {trt.__version__} builds for this machine's GPU only; "
            "remove the compute capability"
        )
    name = f"SM{capability.replace('.', '')}"
    if not hasattr(known, name):
        offered = ", ".join(n for n in known.__members__ if n.startswith("SM"))
        raise ConfigError(f"compute capability: expected one of {offered}, found {name}")
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(getattr(known, name), 0):
        raise EngineError(f"TensorRT {trt.__version__} takes no compute capability {capability}")


def _set_dla(
    trt: ModuleType, builder: Any, config: Any, network: Any, core: int | None, flags: list[str]
) -> tuple[str, ...]:
    """Assign layers to a DLA and return those that fall back to the GPU silently."""
    if core is None:
        return ()
    if not 0 <= core < builder.num_DLA_cores:
        raise EngineError(
            f"expected DLA core {core}, this device has {builder.num_DLA_cores}; "
            "an Orin Nano has none"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    flags.append("GPU_FALLBACK")
    return tuple(layer.name for layer in _layers(network) if not config.can_run_on_DLA(layer))


def _open_cache(config: Any, path: Path | None) -> Any:
    """Load the timing cache of this device; one of another device is replaced."""
    if path is None:
        return None
    try:
        known = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise ConfigError(f"{path}: the timing cache cannot be read ({error.strerror})") from error
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def _tensors(network: Any) -> tuple[PlanTensor, ...]:
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    return tuple(
        PlanTensor(name=t.name, shape=tuple(t.shape), dtype=t.dtype.name.lower())
        for t in (*inputs, *outputs)
    )


@contextlib.contextmanager
def _progress(trt: ModuleType, config: Any, what: str) -> Iterator[None]:
    """Show a bar of TensorRT's phases, if this version reports them."""
    if not hasattr(trt, "IProgressMonitor"):
        yield
        return
    with tqdm(desc=f"building {what}", unit="step", disable=None) as bar:

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                bar.total = (bar.total or 0) + num_steps
                bar.set_postfix_str(phase_name, refresh=False)

            def step_complete(self, phase_name: str, step: int) -> bool:
                bar.update()
                return True  # go on

            def phase_finish(self, phase_name: str) -> None:
                bar.refresh()

        config.progress_monitor = Monitor()
        yield
