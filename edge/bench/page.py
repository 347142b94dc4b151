"""HTML page of a benchmark: one file with plots and tables, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge import html
from edge.bench import plots, tables
from edge.bench.quantities import Summary
from edge.bench.results import (
    CameraReport,
    CompareReport,
    EngineReport,
    GalleryReport,
    Measured,
    PipelineReport,
    SoakReport,
    SweepReport,
)

_TITLES = {
    "run": "From camera to relay",
    "soak": "Soak",
    "sweep": "Sweep",
    "engine": "Networks alone",
    "gallery": "Search alone",
    "camera": "Camera alone",
    "compare": "Comparison",
}


@dataclass(frozen=True, slots=True)
class Plot:
    """An SVG element under a heading."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A headline figure."""

    label: str
    value: str
    unit: str = ""
    detail: str = ""


def render_page(report: Measured | CompareReport) -> str:
    """Return the page; names are escaped."""
    made = tables.build_tables(report)
    return html.render(
        "edge.bench",
        "bench.html",
        title=_TITLES[report.kind],
        made_at=getattr(report, "made_at", ""),
        verdict=_verdict(report),
        tiles=list(_tiles(report)),
        plots=list(_plots(report)),
        tables=[
            {"title": t.title, "head": t.head if any(t.head) else (), "rows": t.rows} for t in made
        ],
    )


def _verdict(report: Measured | CompareReport) -> dict[str, object] | None:
    """Return what passed or failed, if the result has a verdict."""
    if isinstance(report, CompareReport):
        worse = [one.name for one in report.ratios if one.worse]
        unsure = [
            one.name
            for one in report.ratios
            if one.judged and not one.worse and (one.high or 0) > report.regression
        ]
        none = f"No regression above {report.regression - 1:.0%} was found" + (
            f"; too noisy to decide: {', '.join(unsure)}" if unsure else ""
        )
        words = f"Worse: {', '.join(worse)}." if worse else f"{none}."
        return {
            "passed": report.passed,
            "words": words,
            "lines": [f"different: {one}" for one in report.differ],
        }
    if isinstance(report, SoakReport):
        failed = [one.what for one in report.findings if one.passed is False]
        words = f"Failed: {', '.join(failed)}." if failed else "All checks passed."
        return {
            "passed": not failed,
            "words": words,
            "lines": [f"{one.what}: {one.words}" for one in report.findings],
        }
    return None


def _tiles(report: Measured | CompareReport) -> Iterator[Tile]:
    if not isinstance(report, PipelineReport):
        return
    speed, ends = report.speed, report.speed.end_to_end
    yield _time("work on a frame", speed.frame)
    yield _time("timestamp to decision", ends.frame_to_decision)
    relay = ends.first_usable_to_relay
    yield _time(
        "first usable frame to relay" if relay else "first usable frame to grant",
        relay or ends.first_usable_to_grant,
    )
    yield Tile(
        "throughput",
        f"{speed.throughput_fps:.1f}",
        "a second",
        f"could do {speed.capacity_fps:.0f}",
    )
    yield Tile(
        "frames dropped",
        str(report.camera.dropped),
        "",
        f"of {max(report.camera.frames, speed.frames)}",
    )
    power = speed.power
    detail = f"{power.frames_per_joule:.2f} frames/J" if power else ""
    yield Tile(
        "power", f"{power.mean_w:.2f}" if power else tables.NONE, "W" if power else "", detail
    )


def _time(words: str, summary: Summary | None) -> Tile:
    if summary is None:
        return Tile(words, tables.NONE)
    return Tile(
        words,
        tables.format_ms(summary.median),
        "ms",
        f"p99 {tables.format_ms(summary.p99)}, n {summary.n}",
    )


def _plots(report: Measured | CompareReport) -> Iterator[Plot]:
    if isinstance(report, PipelineReport):
        yield from _pipeline_plots(report)
    elif isinstance(report, (SweepReport, EngineReport)):
        yield Plot(
            "Medians",
            plots.plot_medians(report.rows),
            "TAR: of masked probes at FMR 1e-3; what the parity gate refused is not measured.",
        )
    elif isinstance(report, GalleryReport):
        yield Plot("Time of a search", plots.plot_search_times(report.rows))
    elif isinstance(report, CameraReport):
        names = {"interval": "interval between frames", "age": "age when taken"}
        yield Plot("Latency distribution", plots.plot_distribution(report.series, names))
    elif any(one.ratio is not None for one in report.ratios):
        yield Plot("Ratios", plots.plot_ratios(report), "Grey: reported, not judged.")


def _pipeline_plots(report: PipelineReport) -> Iterator[Plot]:
    yield Plot(
        "Where a frame's time goes",
        plots.plot_stages(report),
        "Mean over all frames: in most frames no face is embedded.",
    )
    yield Plot("Over time", plots.plot_latency(report))
    names = {
        "frame": "work on a frame",
        "frame_to_decision": "timestamp to decision",
        "outside": "all but the networks",
        "frame_to_relay": "newest voting frame to relay",
        "first_usable_to_relay": "first usable frame to relay",
    }
    yield Plot(
        "Latency distribution",
        plots.plot_distribution(report.series, names),
        "The dotted line is the 99th percentile.",
    )
    drawn, absent = plots.plot_system_load(report.samples)
    words = f"Not available on this machine: {', '.join(absent)}." if absent else ""
    yield Plot("System load", drawn, words)
