"""Comparison of ONNX Runtime session options with those of the terminal, interleaved in one run.

python -m benchmarks.session

The networks of a bundle run on noise: their time does not depend on the picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from edge.bundle import detector_network
from edge.engine.ort import ort, session_options

Change = Callable[[Any], None]

NETWORKS = {
    "embedder": (1, 3, 112, 112),
    detector_network("640x480"): (1, 3, 480, 640),
    detector_network("320x256"): (1, 3, 256, 320),
}
OWN = "options of the terminal"


def _set(name: str, value: object) -> Change:
    return lambda options: setattr(options, name, value)


def _entry(name: str, value: str) -> Change:
    return lambda options: options.add_session_config_entry(name, value)


CHANGES: dict[str, tuple[Change, ...]] = {
    OWN: (),
    "again, for the noise": (),
    "2 threads": (_set("intra_op_num_threads", 2),),
    "2 threads that spin": (
        _set("intra_op_num_threads", 2),
        _entry("session.intra_op.allow_spinning", "1"),
    ),
    "no arena": (_set("enable_cpu_mem_arena", False),),
    "no memory pattern": (_set("enable_mem_pattern", False),),
    "no arena, no memory pattern": (
        _set("enable_cpu_mem_arena", False),
        _set("enable_mem_pattern", False),
    ),
    "graph level basic": (
        _set("graph_optimization_level", ort.GraphOptimizationLevel.ORT_ENABLE_BASIC),
    ),
    "graph level extended": (
        _set("graph_optimization_level", ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
    ),
    "denormals as zero": (_entry("session.set_denormal_as_zero", "1"),),
}


def session(model: Path, changes: Sequence[Change]) -> Any:
    options = session_options(threads=1)
    for change in changes:
        change(options)
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def measure(model: Path, shape: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of a call by session options."""
    sessions = {name: session(model, changes) for name, changes in CHANGES.items()}
    batch = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    times: dict[str, list[float]] = {name: [] for name in sessions}
    order = list(sessions)
    for number in tqdm(range(rounds + 3), model.stem, unit="round", disable=None):
        np.random.default_rng(number).shuffle(order)
        for name in order:
            one = sessions[name]
            entry, began = one.get_inputs()[0].name, time.perf_counter()
            for _ in range(5):
                one.run(None, {entry: batch})
            if number >= 3:  # the rest is warm-up
                times[name].append((time.perf_counter() - began) * 200)
    return {name: float(np.median(all_)) for name, all_ in times.items()}


def table(measured: dict[str, dict[str, float]]) -> str:
    """Return a Markdown table of milliseconds and ratios to the terminal's options."""
    rows = ["| | " + " | ".join(measured) + " |", "|---|" + "---|" * len(measured)]
    for name in CHANGES:
        cells = [
            f"{times[name]:.2f} ms, {times[name] / times[OWN]:.2f}" for times in measured.values()
        ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="ONNX Runtime's session options on a bundle's networks, side by side."
    )
    parser.add_argument(
        "--bundle", type=Path, default=Path("build/bundle"), help="folder (default %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=60, help="of five calls each (default %(default)s)"
    )
    args = parser.parse_args(argv)
    ort.set_default_logger_severity(3)  # ONNX Runtime warns of entries that are set twice
    models = {name: args.bundle / f"{name}.onnx" for name in NETWORKS}
    absent = [str(path) for path in models.values() if not path.is_file()]
    if absent:
        parser.error(
            f"expected {', '.join(absent)}; make the bundle first: mfsa-bundle make {args.bundle}"
        )
    print(
        table({name: measure(path, NETWORKS[name], args.rounds) for name, path in models.items()})
    )
    print(
        f"\nONNX Runtime {ort.__version__}, {args.rounds} rounds of five calls, medians; ratios to "
        "the terminal's own."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
