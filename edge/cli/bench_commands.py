"""The commands of `edge-bench`: measure, then write, draw and print the result."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from edge.bench import table_output, tables
from edge.bench.camera import measure_camera
from edge.bench.compare import compare
from edge.bench.engine import measure_engines
from edge.bench.gallery import measure_searches
from edge.bench.interrupt import InterruptHandler
from edge.bench.prepare import BenchOptions, full_frame_config, open_bench
from edge.bench.results import CompareReport, Measured, SoakRow, load_result, schema
from edge.bench.run import run
from edge.bench.soak import soak
from edge.bench.sources import Source, build_source, drawn_source
from edge.bench.sweep import Grid, sweep
from edge.cli import common
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError

_ALLOCATION_FRAMES = 20
_SAMPLE_INTERVAL_S = 1.0


def _source(args: argparse.Namespace, config: TerminalConfig) -> Source:
    return drawn_source(args.faces) if args.faces else build_source(config.camera)


def _config(args: argparse.Namespace) -> TerminalConfig:
    config = load_config(args.config)
    return config if args.full_frame is None else full_frame_config(config, args.full_frame)


def _options(
    args: argparse.Namespace,
    *,
    flat_out: int = 0,
    sample_interval_s: float = _SAMPLE_INTERVAL_S,
    allocation_frames: int = 0,
) -> BenchOptions:
    return BenchOptions(
        duration_s=args.duration,
        warm_up_s=args.warm_up,
        templates=args.templates,
        door=not args.no_door,
        flat_out=flat_out,
        sample_interval_s=sample_interval_s,
        allocation_frames=allocation_frames,
    )


def _run(args: argparse.Namespace) -> int:
    config, output = _config(args), _Output(args)
    allocation_frames = 0 if args.no_allocations else _ALLOCATION_FRAMES
    options = _options(args, flat_out=args.flat_out, allocation_frames=allocation_frames)
    with InterruptHandler() as stop, open_bench(config, _source(args, config), options) as bench:
        return output.write(run(bench, stop))


def _soak(args: argparse.Namespace) -> int:
    config, output = _config(args), _Output(args)
    options = _options(args, sample_interval_s=min(args.every, 10.0))
    with InterruptHandler() as stop, open_bench(config, _source(args, config), options) as bench:
        found = soak(bench, stop, every_s=args.every, window_s=args.window, on_row=_print_row)
    output.write(found)
    return common.FAILED if any(one.passed is False for one in found.findings) else common.DONE


def _print_row(row: SoakRow) -> None:
    """Print a row to stderr as it comes; standard output may be JSON."""
    times = "no frame"
    if row.frame_median is not None:
        times = f"median {row.frame_median:.2f} ms, p99 {row.frame_p99:.2f} ms"
    parts = [
        f"{row.at_s:8.0f} s",
        f"{row.frames} frames",
        f"{row.dropped} dropped",
        times,
        f"{row.rss_mib:.1f} MiB",
    ]
    parts += [] if row.hottest_c is None else [f"{row.hottest_c:.1f} °C"]
    parts += [] if row.power_w is None else [f"{row.power_w:.2f} W"]
    parts += [f"throttled by {', '.join(row.throttled_by)}"] if row.throttled_by else []
    tqdm.write(", ".join(parts), file=sys.stderr)


def _sweep(args: argparse.Namespace) -> int:
    config, output = load_config(args.config), _Output(args)
    grid = Grid(
        engines=args.engines or ["trt" if config.engine.kind == "trt" else "ort"],
        precisions=args.precisions,
        threads=args.threads or sorted({1, len(os.sched_getaffinity(0))}),
        detectors=args.detectors,
        faces=args.faces,
        templates=args.templates,
        frames=args.frames,
        rounds=min(args.rounds, args.frames),
    )
    with InterruptHandler() as stop:
        return output.write(sweep(config, grid, stop))


def _engine(args: argparse.Namespace) -> int:
    config, output = load_config(args.config), _Output(args)
    with InterruptHandler() as stop:
        found = measure_engines(
            config, threads=args.threads, batches=args.batches, calls=args.calls, stop=stop
        )
        return output.write(found)


def _gallery(args: argparse.Namespace) -> int:
    output = _Output(args)
    with InterruptHandler() as stop:
        return output.write(measure_searches(args.sizes, args.embedding, args.searches, stop))


def _camera(args: argparse.Namespace) -> int:
    config, output = load_config(args.config), _Output(args)
    with InterruptHandler() as stop:
        return output.write(measure_camera(build_source(config.camera), args.duration, stop))


def _compare(args: argparse.Namespace) -> int:
    output = _Output(args)
    found = compare(
        load_result(args.before),
        load_result(args.after),
        names=(args.before.name, args.after.name),
        regression=args.regression,
        force=args.force,
    )
    output.write(found)
    for one in found.differ:
        print(f"edge-bench: different conditions: {one}", file=sys.stderr)
    return common.DONE if found.passed else common.FAILED


def _report(args: argparse.Namespace) -> int:
    output = _Output(args)
    return output.write(load_result(args.result))


def _schema(args: argparse.Namespace) -> int:
    print(json.dumps(schema(), indent=1))
    return common.DONE


class _Output:
    """Files of a result, checked before the measurement."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Raise ConfigError for a file that cannot be written."""
        self._json: Path | None = args.json
        self._html: Path | None = args.html
        self._to_stdout = str(args.json) == "-"
        common.check_output_files(None if self._to_stdout else self._json, self._html)
        self._render = _page_renderer() if self._html else None

    def write(self, report: Measured | CompareReport) -> int:
        """Write the files and print tables or JSON; return the exit code of success."""
        text = report.model_dump_json(indent=1) + "\n"
        if self._json and not self._to_stdout:
            self._json.write_text(text, encoding="utf-8")
        if self._html and self._render:
            self._html.write_text(self._render(report), encoding="utf-8")
        if self._to_stdout:
            print(text, end="")
        elif (plain := table_output.print_tables(tables.build_tables(report))) is not None:
            print(plain)
            print(f"edge-bench: {table_output.NO_RICH}", file=sys.stderr)
        return common.DONE


def _page_renderer() -> Callable[[Measured | CompareReport], str]:
    """Return the page's renderer; raises ConfigError if its libraries are not installed."""
    try:
        from edge.bench.page import render_page
    except ImportError as error:
        elsewhere = "or draw it on another machine: edge-bench report RESULT.json --html FILE"
        raise ConfigError(
            f"--html needs {error.name}: pip install 'mfsa-edge[demo]', {elsewhere}"
        ) from error
    return render_page


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "soak": _soak,
    "sweep": _sweep,
    "engine": _engine,
    "gallery": _gallery,
    "camera": _camera,
    "compare": _compare,
    "report": _report,
    "schema": _schema,
}
