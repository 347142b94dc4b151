"""Plots of a benchmark's page, each an inline SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

from edge import html
from edge.bench.quantities import MachineSample
from edge.bench.results import (
    CompareReport,
    EngineRow,
    GalleryRow,
    PipelineReport,
    SoakReport,
    SweepRow,
)

_WIDTH = 11.0
_INK, _FAINT, _ALARM = "#1f2328", "#d0d7de", "#cf222e"
_LINES = ("#0969da", "#bf3989", "#1a7f37", "#9a6700", "#8250df", "#57606a")
_STAGES = {
    "capture": "#8c959f",
    "detect": "#0969da",
    "track": "#54aeff",
    "look": "#1a7f37",
    "embed": "#8250df",
    "search": "#bf8700",
    "decide": "#bf3989",
    "record": "#cf222e",
    "door": "#6e7781",
}


def _figure(height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = list(figure.subplots(rows, 1, squeeze=False, sharex=rows > 1)[:, 0])
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="y", color=_FAINT, lw=0.5)
        one.set_axisbelow(True)
    return figure, axes


def _legend(axes: Axes, columns: int) -> None:
    """Draw the legend above the plot."""
    axes.legend(
        frameon=False,
        fontsize=8,
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderpad=0,
        handlelength=0.9,
    )


def plot_latency(report: PipelineReport) -> str:
    """Plot the processing time and the time to a decision of each frame."""
    figure, (axes,) = _figure(2.8)
    at_s = report.series["at_s"]
    lines = (
        ("frame_to_decision", "timestamp to decision", "#a8c7eb"),
        ("frame", "work on the frame", _LINES[0]),
    )
    for name, words, colour in lines:
        axes.plot(at_s, report.series[name], ".", ms=3, color=colour, label=words)
    if isinstance(report, SoakReport):
        _windows(axes, report)
    axes.set(
        xlabel="seconds",
        ylabel="ms",
        ylim=(0, _top(report.series["frame_to_decision"])),
        xlim=(0, max(at_s) or 1),
    )
    _legend(axes, 3)
    return html.to_svg(figure)


def _windows(axes: Axes, report: SoakReport) -> None:
    for number, window in enumerate(report.windows):
        until = window.from_s + report.window_s
        label = "median of a window" if not number else None
        axes.plot(
            [window.from_s, until], [window.frame_median] * 2, color=_ALARM, lw=1.5, label=label
        )


def _top(values: Sequence[float]) -> float:
    """Return an upper limit of the axis that ignores single outliers."""
    return float(np.percentile(values, 99.5)) * 1.4


def plot_distribution(series: Mapping[str, Sequence[float]], names: Mapping[str, str]) -> str:
    """Plot cumulative distributions; `names` maps series to labels."""
    figure, (axes,) = _figure(2.8)
    for (name, words), colour in zip(names.items(), _LINES, strict=False):
        values = np.sort(series.get(name, []))
        if len(values):
            axes.plot(
                values,
                np.arange(1, len(values) + 1) / len(values),
                color=colour,
                label=words,
                drawstyle="steps-post",
            )
    axes.axhline(0.99, color=_ALARM, lw=0.6, ls=":")
    axes.set(xlabel="ms", ylabel="share at most so long", xscale="log", ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    _legend(axes, len(names))
    return html.to_svg(figure)


def plot_stages(report: PipelineReport) -> str:
    """Plot the mean time of each stage."""
    figure, (axes,) = _figure(1.5)
    left = 0.0
    total = sum(stage.per_frame for stage in report.speed.stages.values())
    for number, (name, stage) in enumerate(report.speed.stages.items()):
        colour = _STAGES.get(name, _LINES[number % len(_LINES)])
        axes.barh(
            0, stage.per_frame, left=left, color=colour, label=f"{name} {stage.per_frame:.2f}"
        )
        if stage.per_frame > 0.08 * total:
            axes.text(
                left + stage.per_frame / 2,
                0,
                name,
                ha="center",
                va="center",
                color="white",
                fontsize=8,
            )
        left += stage.per_frame
    axes.set(yticks=[], xlabel="mean ms a frame", xlim=(0, left))
    axes.spines["left"].set_visible(False)
    _legend(axes, len(report.speed.stages))
    return html.to_svg(figure)


def plot_system_load(samples: Sequence[MachineSample]) -> tuple[str, list[str]]:
    """Plot memory, load, clocks, temperatures and power; return also what is not available."""
    drawn: dict[str, dict[str, list[tuple[float, float]]]] = {
        "memory, MiB": {"": [(s.at_s, s.rss_mib) for s in samples]},
        "load, %": _lines(samples, [s.loads for s in samples]),
        "clocks, MHz": _lines(samples, [s.clocks_mhz for s in samples]),
        "temperature, °C": _lines(samples, [s.temperatures_c for s in samples]),
        "power, W": _lines(
            samples,
            [{**s.rails_w, **({} if s.power_w is None else {"all": s.power_w})} for s in samples],
        ),
    }
    absent = [name.partition(",")[0] for name, lines in drawn.items() if not lines]
    there = {name: lines for name, lines in drawn.items() if lines}
    figure, all_axes = _figure(1.5 * len(there) + 0.4, len(there))
    for axes, (name, lines) in zip(all_axes, there.items(), strict=True):
        for number, (label, points) in enumerate(lines.items()):
            axes.plot(
                *zip(*points, strict=True),
                lw=1.2,
                color=_LINES[number % len(_LINES)],
                label=label or None,
            )
        axes.set_title(name, loc="left", fontsize=9)
        if len(lines) > 1:
            axes.legend(
                frameon=False, fontsize=7, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5)
            )
    all_axes[-1].set_xlabel("seconds")
    return html.to_svg(figure), absent


def _lines(
    samples: Sequence[MachineSample], values: Sequence[Mapping[str, float]]
) -> dict[str, list[tuple[float, float]]]:
    names = dict.fromkeys(name for one in values for name in one)
    return {
        name: [(s.at_s, one[name]) for s, one in zip(samples, values, strict=True) if name in one]
        for name in names
    }


def plot_medians(rows: Sequence[SweepRow | EngineRow]) -> str:
    """Plot medians with their 99th percentile and the masked TAR."""
    figure, (axes,) = _figure(0.32 * len(rows) + 0.8)
    summaries = [row.frame if isinstance(row, SweepRow) else row.call for row in rows]
    medians = [one.median for one in summaries]
    beyond = [[0.0] * len(rows), [one.p99 - one.median for one in summaries]]
    axes.barh(
        range(len(rows)),
        medians,
        xerr=beyond,
        color=_LINES[0],
        ecolor="#8c959f",
        height=0.6,
        capsize=2,
    )
    for number, (row, one) in enumerate(zip(rows, summaries, strict=True)):
        tar = "" if row.accuracy.masked_tar is None else f"   TAR {row.accuracy.masked_tar:.1%}"
        axes.text(one.p99, number, f"  {one.median:.2f}{tar}", va="center", fontsize=8, color=_INK)
    axes.set(yticks=range(len(rows)), yticklabels=[row.name for row in rows])
    axes.set_xlabel("ms: median, and 99th percentile at the thin line")
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, max(one.p99 for one in summaries) * 1.25))
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.grid(axis="x", color=_FAINT, lw=0.5)
    return html.to_svg(figure)


def plot_search_times(rows: Sequence[GalleryRow]) -> str:
    """Plot the search time by gallery size."""
    figure, (axes,) = _figure(3.0)
    sizes = [row.templates for row in rows]
    for name, colour in (("median", _LINES[0]), ("p99", _ALARM)):
        axes.plot(
            sizes, [getattr(row.search, name) for row in rows], "o-", color=colour, label=name
        )
    axes.set(xscale="log", yscale="log", xlabel="templates", ylabel="ms a search")
    axes.legend(frameon=False, fontsize=8)
    return html.to_svg(figure)


def plot_ratios(report: CompareReport) -> str:
    """Plot ratios with intervals and the limit."""
    shown = [
        r for r in report.ratios if r.ratio is not None and r.low is not None and r.high is not None
    ]
    figure, (axes,) = _figure(0.3 * len(shown) + 0.9)
    for number, one in enumerate(shown):
        colour = _ALARM if one.worse else _LINES[0] if one.judged else "#8c959f"
        axes.plot([one.low or 0, one.high or 0], [number] * 2, color=colour, lw=2)
        axes.plot([one.ratio or 0], [number], "o", color=colour, ms=5)
    axes.axvline(1, color=_INK, lw=0.8)
    axes.axvline(report.regression, color=_ALARM, lw=0.8, ls="--")
    axes.set(yticks=range(len(shown)), yticklabels=[one.name for one in shown])
    axes.set_xlabel("ratio of medians, with its 95 % interval; above 1 is slower")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelsize=8)
    return html.to_svg(figure)
