"""`edge-bench`: how fast, how steady and how hot a terminal is on this machine, before the hardware is bought."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli import common
from edge.cli.bench_options import parse
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError

if TYPE_CHECKING:
    from edge.bench.prepare import BenchOptions
    from edge.bench.results import CompareReport, Measured, SoakRow
    from edge.bench.sources import Source


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    common.limit_decoder_messages()
    return common.run("edge-bench", lambda: _DOES[args.command](args))


def _source(args: argparse.Namespace, config: TerminalConfig) -> Source:
    from edge.bench.sources import drawn, source_of

    return drawn(args.faces) if args.faces else source_of(config.camera)


def _options(args: argparse.Namespace, **more: float) -> BenchOptions:
    from edge.bench.prepare import BenchOptions

    return BenchOptions(args.duration, args.warm_up, args.templates, not args.no_door, **more)  # type: ignore[arg-type]


def _config(args: argparse.Namespace) -> TerminalConfig:
    config = load_config(args.config)
    from edge.bench.prepare import full_frame_config

    return config if args.full_frame is None else full_frame_config(config, args.full_frame)


def _run(args: argparse.Namespace) -> int:
    config, out = _config(args), _Outputs(args)
    from edge.bench.interrupt import InterruptHandler
    from edge.bench.prepare import prepared
    from edge.bench.run import run

    options = _options(
        args, flat_out=args.flat_out, allocation_frames=0 if args.no_allocations else 20
    )
    with InterruptHandler() as stop, prepared(config, _source(args, config), options) as bench:
        return out.give(run(bench, stop))


def _soak(args: argparse.Namespace) -> int:
    config, out = _config(args), _Outputs(args)
    from edge.bench.interrupt import InterruptHandler
    from edge.bench.prepare import prepared
    from edge.bench.soak import soak

    options = _options(args, watch_s=min(args.every, 10.0))
    with InterruptHandler() as stop, prepared(config, _source(args, config), options) as bench:
        found = soak(bench, stop, every_s=args.every, window_s=args.window, tell=_tell_row)
    out.give(found)
    return common.FAILED if any(one.passed is False for one in found.findings) else common.DONE


def _tell_row(row: SoakRow) -> None:
    """To stderr, as it comes: standard output may be for machines."""
    from tqdm import tqdm

    parts = [
        f"{row.at_s:8.0f} s", f"{row.frames} frames", f"{row.dropped} dropped",
        "no frame" if row.frame_median is None else f"median {row.frame_median:.2f} ms, p99 {row.frame_p99:.2f} ms",
        f"{row.rss_mib:.1f} MiB",
    ]  # fmt: skip
    parts += [] if row.hottest_c is None else [f"{row.hottest_c:.1f} °C"]
    parts += [] if row.power_w is None else [f"{row.power_w:.2f} W"]
    parts += [f"throttled by {', '.join(row.throttled_by)}"] if row.throttled_by else []
    tqdm.write(", ".join(parts), file=sys.stderr)


def _sweep(args: argparse.Namespace) -> int:
    config, out = load_config(args.config), _Outputs(args)
    from edge.bench.interrupt import InterruptHandler
    from edge.bench.sweep import Grid, sweep

    engines = args.engines or ["trt" if config.engine.kind == "trt" else "ort"]
    threads = args.threads or sorted({1, len(os.sched_getaffinity(0))})
    grid = Grid(
        engines,
        args.precisions,
        threads,
        args.detectors,
        args.faces,
        args.templates,
        args.frames,
        min(args.rounds, args.frames),
    )
    with InterruptHandler() as stop:
        return out.give(sweep(config, grid, stop))


def _engine(args: argparse.Namespace) -> int:
    config, out = load_config(args.config), _Outputs(args)
    from edge.bench.engine import engines
    from edge.bench.interrupt import InterruptHandler

    with InterruptHandler() as stop:
        return out.give(
            engines(config, threads=args.threads, batches=args.batches, calls=args.calls, stop=stop)
        )


def _gallery(args: argparse.Namespace) -> int:
    out = _Outputs(args)
    from edge.bench.gallery import search
    from edge.bench.interrupt import InterruptHandler

    with InterruptHandler() as stop:
        return out.give(search(args.sizes, args.embedding, args.searches, stop))


def _camera(args: argparse.Namespace) -> int:
    config, out = load_config(args.config), _Outputs(args)
    from edge.bench.camera import watch
    from edge.bench.interrupt import InterruptHandler
    from edge.bench.sources import source_of

    with InterruptHandler() as stop:
        return out.give(watch(source_of(config.camera), args.duration, stop))


def _compare(args: argparse.Namespace) -> int:
    out = _Outputs(args)
    from edge.bench.compare import compare
    from edge.bench.results import read

    names = (args.before.name, args.after.name)
    found = compare(
        read(args.before),
        read(args.after),
        names=names,
        regression=args.regression,
        force=args.force,
    )
    out.give(found)
    for one in found.differ:
        print(f"edge-bench: not alike: {one}", file=sys.stderr)
    return common.DONE if found.passed else common.FAILED


def _report(args: argparse.Namespace) -> int:
    out = _Outputs(args)
    from edge.bench.results import read

    return out.give(read(args.result))


def _schema(args: argparse.Namespace) -> int:
    import json

    from edge.bench.results import schema

    print(json.dumps(schema(), indent=1))
    return common.DONE


class _Outputs:
    """Where a result goes; asked before the work whether it can go there. Raises ConfigError."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._json: Path | None = args.json
        self._html: Path | None = args.html
        self._to_stdout = str(args.json) == "-"
        common.check_out(None if self._to_stdout else self._json, self._html)
        self._page = _page_maker() if self._html else None

    def give(self, report: Measured | CompareReport) -> int:
        """Written, drawn and shown."""
        from edge.bench import tables

        text = report.model_dump_json(indent=1) + "\n"
        if self._json and not self._to_stdout:
            self._json.write_text(text, encoding="utf-8")
        if self._html and self._page:
            self._html.write_text(self._page(report), encoding="utf-8")
        if self._to_stdout:
            print(text, end="")
        elif (plain := tables.show(tables.tables(report))) is not None:
            print(plain)
            print(f"edge-bench: {tables.NO_RICH}", file=sys.stderr)
        return common.DONE


def _page_maker() -> Callable[[Measured | CompareReport], str]:
    """Raises ConfigError where what draws the page is not installed."""
    try:
        from edge.bench.page import page
    except ImportError as error:
        elsewhere = "or draw it on another machine: edge-bench report RESULT.json --html FILE"
        raise ConfigError(
            f"--html needs {error.name}: pip install 'mfsa-edge[demo]', {elsewhere}"
        ) from error
    return page


_DOES: dict[str, Callable[[argparse.Namespace], int]] = {
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

if __name__ == "__main__":
    sys.exit(main())
