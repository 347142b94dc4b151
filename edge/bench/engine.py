"""`edge-bench engine`: each network alone, in every engine and precision, with its accuracy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.bench import machine
from edge.bench.accumulator import rounded_series
from edge.bench.accuracy import accuracy_of
from edge.bench.interrupt import InterruptHandler
from edge.bench.quantities import Accuracy, Summary
from edge.bench.results import EngineReport, EngineRow, NotMeasured, Phases
from edge.bundle import (
    EMBEDDER_NETWORK,
    NETWORKS,
    PARITY,
    Bundle,
    onnx_file,
    open_bundle,
    plan_file,
)
from edge.chip import PREPROCESSING, to_input
from edge.config import TerminalConfig
from edge.engine import Engine, open_engine
from edge.engine.sidecar import PlanRequirements, read_sidecar
from edge.engine.trt import EnginePhases, TrtEngine, open_plan
from edge.errors import BundleError, EngineError
from edge.values import Precision

_PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
_WARM_CALLS = 5
_MIB = 1 << 20
_ENQUEUE = 0.8  # share of the compute time above which the host limits the GPU
_UNSTEADY = 0.025  # coefficient of variation
Floats = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class EngineRunner:
    """Open network and the times of its calls."""

    network: str
    engine: str
    precision: Precision
    threads: int | None
    file: Path
    accuracy: Accuracy
    open: Engine
    inputs: Floats
    ms: list[float] = field(default_factory=list)
    phases: list[EnginePhases] = field(default_factory=list)

    @property
    def name(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        return f"{self.network} {self.engine} {self.precision}, {len(self.inputs)} a call{threads}"

    def call(self, *, counts: bool = True) -> None:
        """Time one call, and one more with its phases if the engine supports them."""
        started = time.perf_counter()
        self.open.run(self.inputs)
        ms = (time.perf_counter() - started) * 1000
        if counts:
            self.ms.append(ms)
        if counts and isinstance(self.open, TrtEngine):
            self.phases.append(self.open.phases(self.inputs))


def measure_engines(
    config: TerminalConfig,
    *,
    threads: Sequence[int],
    batches: Sequence[int],
    calls: int,
    stop: InterruptHandler,
) -> EngineReport:
    """Measure every network, engine and precision of the bundle in turns. Raises BundleError."""
    bundle = open_bundle(config.bundle, PREPROCESSING)
    with contextlib.ExitStack() as closing:
        runners, refused = _open_all(bundle, threads, batches, closing)
        for runner in runners:
            for _ in range(_WARM_CALLS):
                runner.call(counts=False)
        for number in tqdm(range(calls), desc="calling", unit="round", leave=False, disable=None):
            for runner in runners:
                runner.call()
            if stop and number:
                break
        rows = tuple(engine_row(runner) for runner in runners)
    return EngineReport(
        made_at=machine.now(),
        machine=machine.describe_this_machine(),
        model=bundle.model_digest,
        rows=rows,
        refused=refused,
    )


def _open_all(
    bundle: Bundle, threads: Sequence[int], batches: Sequence[int], closing: contextlib.ExitStack
) -> tuple[list[EngineRunner], tuple[NotMeasured, ...]]:
    """Return the runners that can run here, and reasons for the others."""
    runners: list[EngineRunner] = []
    refused: dict[str, str] = {}
    for network in NETWORKS:
        for precision in _PRECISIONS:
            for engine in ("ort", "trt"):
                try:
                    for runner in _open(bundle, network, precision, engine, threads, batches):
                        closing.callback(runner.open.close)
                        runners.append(runner)
                except (BundleError, EngineError) as error:
                    refused[f"{network} {engine} {precision}"] = str(error)
    if not any((bundle.path / plan_file(n, p)).is_file() for n in NETWORKS for p in _PRECISIONS):
        refused["trt"] = (
            "the bundle holds no engines of TensorRT; build them on the device with "
            "mfsa-build-engine"
        )
    return runners, tuple(NotMeasured(name=name, why=why) for name, why in refused.items())


def _open(
    bundle: Bundle,
    network: str,
    precision: Precision,
    engine: str,
    threads: Sequence[int],
    batches: Sequence[int],
) -> Iterator[EngineRunner]:
    """Open a network; yield nothing without its file. Raises BundleError or EngineError."""
    sizes = tuple(batches) if network == EMBEDDER_NETWORK else (1,)
    if engine == "trt":
        yield from _open_plan(bundle, network, precision, sizes)
        return
    # FP16 is for GPUs: a CPU only converts it.
    if onnx_file(network, precision) not in bundle.manifest.files or precision == "fp16":
        return
    path = bundle.onnx_path(network, precision)
    accuracy = accuracy_of(bundle, network, precision)
    for count in threads:
        for batch in sizes:
            opened, inputs = open_engine(path, threads=count), _inputs(bundle, network, batch)
            yield EngineRunner(network, engine, precision, count, path, accuracy, opened, inputs)


def _open_plan(
    bundle: Bundle, network: str, precision: Precision, batches: Sequence[int]
) -> Iterator[EngineRunner]:
    plan = bundle.path / plan_file(network, precision)
    if not plan.is_file():
        return
    calibrated = bundle.calibration(precision).embedder if network == EMBEDDER_NETWORK else ""
    sources = bundle.plan_sources(network, precision)
    wanted = PlanRequirements(network, precision, bundle.digest(network), sources, calibrated)
    opened = open_plan(plan, wanted)
    accuracy = accuracy_of(bundle, network, precision, read_sidecar(plan).verdict)
    for batch in batches:
        inputs = _inputs(bundle, network, batch)
        yield EngineRunner(network, "trt", precision, None, plan, accuracy, opened, inputs)


def _inputs(bundle: Bundle, network: str, batch: int) -> Floats:
    """Return parity chips for the embedder, noise for a detector (same time for any frame)."""
    if network == EMBEDDER_NETWORK:
        with np.load(bundle.path / PARITY) as known:
            chips = known["chips"]
        return to_input(chips[np.arange(batch) % len(chips)])
    width, height = (int(part) for part in network.partition("-")[2].split("x"))
    return np.random.default_rng(0).integers(0, 256, (1, 3, height, width)).astype(np.float32)


def engine_row(runner: EngineRunner) -> EngineRow:
    call = Summary.from_ms(runner.ms)
    assert call is not None
    phases = _phases(runner.phases)
    return EngineRow(
        name=runner.name,
        network=runner.network,
        engine=runner.engine,
        precision=runner.precision,
        threads=runner.threads,
        batch=len(runner.inputs),
        file=runner.file.name,
        mib=round(runner.file.stat().st_size / _MIB, 2),
        call=call,
        per_second=round(len(runner.inputs) / call.median * 1000, 2),
        phases=phases,
        warnings=tuple(_warnings(runner.ms, phases)),
        accuracy=runner.accuracy,
        series=rounded_series({"call": runner.ms}),
    )


def _phases(phases: Sequence[EnginePhases]) -> Phases | None:
    if not phases:
        return None
    summaries = {
        name: Summary.from_ms([getattr(one, name) for one in phases])
        for name in Phases.model_fields
    }
    return Phases.model_validate(summaries)


def _warnings(ms: Sequence[float], phases: Phases | None) -> Iterator[str]:
    """Return the warnings of trtexec, with its limits."""
    if phases is not None and phases.enqueue.median > _ENQUEUE * phases.compute.median:
        yield "handing the work over takes about as long as the work: the host may hold the GPU up"
    if (spread := float(np.std(ms) / np.mean(ms))) > _UNSTEADY:
        yield (
            f"unsteady: coefficient of variation {spread:.1%}; lock the clocks and stop other work"
        )
