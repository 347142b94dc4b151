"""Tables of results: by rich if it is installed, else plain columns."""

from __future__ import annotations

from collections.abc import Iterator

from edge.bench.quantities import Accuracy, Machine, Summary
from edge.bench.results import (
    CameraReport,
    CompareReport,
    EngineReport,
    GalleryReport,
    Measured,
    PipelineReport,
    RunReport,
    SoakReport,
    SweepReport,
)
from edge.bench.table_output import Table

NONE = "not available"
_HEAD = ("n", "min", "mean", "median", "p90", "p95", "p99", "max")


def build_tables(report: Measured | CompareReport) -> list[Table]:
    """Return the tables of a result in display order."""
    if isinstance(report, CompareReport):
        return [_ratios(report)]
    made: list[Table] = []
    if isinstance(report, PipelineReport):
        made = [*_pipeline_tables(report)]
    if isinstance(report, SoakReport):
        made.append(_findings(report))
    elif isinstance(report, SweepReport):
        made = [_sweep(report), *_refused(report)]
    elif isinstance(report, EngineReport):
        made = [_engines(report), *_phases(report), *_refused(report), *_warnings(report)]
    elif isinstance(report, GalleryReport):
        made = [_gallery(report)]
    elif isinstance(report, CameraReport):
        made = [_camera(report)]
    return [*made, _facts("Machine", machine_facts(report.machine))]


def format_ms(value: float | None) -> str:
    """Format milliseconds: three decimals below 0.1, else two."""
    return "-" if value is None else f"{value:.3f}" if abs(value) < 0.1 else f"{value:.2f}"


def _cells(name: str, summary: Summary | None) -> tuple[str, ...]:
    if summary is None:
        return (name, *("-" for _ in _HEAD))
    return (name, str(summary.n), *(format_ms(getattr(summary, column)) for column in _HEAD[1:]))


def _facts(title: str, facts: dict[str, str]) -> Table:
    return Table(title, ("", ""), tuple(facts.items()))


def machine_facts(machine: Machine) -> dict[str, str]:
    """Return the facts; None is shown as not available."""
    locked = {True: "locked", False: "not locked", None: NONE}[machine.clocks_locked]
    return {
        "processor": f"{machine.processor or NONE}, {machine.cores} cores available",
        "memory": NONE if machine.memory_mib is None else f"{machine.memory_mib} MiB",
        "system": machine.system,
        "board": machine.board or NONE,
        "L4T": machine.l4t or NONE,
        "power mode": machine.power_mode or NONE,
        "clocks": f"{locked}, governor {machine.governor or NONE}",
        "versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
    }


def describe_accuracy(accuracy: Accuracy) -> str:
    """Return one line."""
    tar = (
        ""
        if accuracy.masked_tar is None
        else f"; masked TAR {accuracy.masked_tar:.1%} at FMR 1e-3 ({accuracy.masked_tar_of})"
    )
    return f"parity: {accuracy.parity}{tar}"


def _pipeline_tables(report: PipelineReport) -> Iterator[Table]:
    speed, networks = report.speed, report.speed.networks
    stages = [
        (*_cells(name, stage.summary), format_ms(stage.per_frame))
        for name, stage in speed.stages.items()
    ]
    rest = {
        "frame": speed.frame,
        "detector network": networks.detector,
        "embedder network": networks.embedder,
        "all but networks": networks.outside,
    }
    total = [(*_cells(name, summary), "") for name, summary in rest.items()]
    yield Table(
        "Stages, ms of the frames in which they worked",
        ("", *_HEAD, "per frame"),
        (*stages, *total),
    )
    names = {name: name.replace("_", " ") for name in type(speed.end_to_end).model_fields}
    ends = tuple(_cells(words, getattr(speed.end_to_end, name)) for name, words in names.items())
    yield Table("End to end, ms from the camera's timestamp", ("", *_HEAD), ends)
    yield _facts("In short", summary_facts(report))


def summary_facts(report: PipelineReport) -> dict[str, str]:
    """Return the headline figures."""
    speed, networks, camera, memory = (
        report.speed,
        report.speed.networks,
        report.camera,
        report.memory,
    )
    ratio = (
        ""
        if networks.outside_to_one_of_each is None
        else f"; {networks.outside_to_one_of_each:.1%} of one call of each"
    )
    opened = f"; {speed.openings} switched it" if speed.openings else ""
    facts = {
        "measured": f"{speed.frames} frames, {speed.looked_at} processed, in "
        f"{speed.seconds:.1f} s; {report.ended}",
        "faces": f"{speed.faces}, {speed.embedded} embedded",
        "source": f"{report.conditions.source}, {report.conditions.frame_size}, "
        f"pace: {report.conditions.pace}",
        "engine": f"{report.conditions.engine} {report.conditions.precision}, "
        f"detector {report.conditions.detector}",
        "accuracy": describe_accuracy(report.accuracy),
        "throughput": f"{speed.throughput_fps:.1f} frames/s; capacity {speed.capacity_fps:.1f}",
        "camera": f"{camera.dropped} frames dropped, {camera.gaps} gaps, jitter "
        f"{NONE if camera.jitter is None else format_ms(camera.jitter) + ' ms'}",
        "grants": f"{speed.grants}, followed {report.conditions.door}{opened}",
        "outside the networks": f"{networks.outside_share:.1%} of the time{ratio}",
        "processor time": f"{speed.cpu_s:.2f} s, {speed.cpu_ms_per_frame:.2f} ms per frame",
        "memory": f"{memory.start_mib:.1f} to {memory.end_mib:.1f} MiB, "
        f"at most {memory.peak_mib:.1f}; slope {_slope(report)}",
        "power": NONE
        if speed.power is None
        else f"{speed.power.mean_w:.2f} W, {speed.power.frames_per_joule:.2f} frames/J",
        "throttling": _throttling(report),
    }
    if isinstance(report, RunReport) and (made := report.allocations):
        facts["allocations"] = (
            f"{made.peak_kib:.0f} KiB per frame at most, {made.kept_bytes:.0f} bytes of it kept"
        )
    return facts


def _slope(report: PipelineReport) -> str:
    slope = report.memory.slope_mib
    if slope is None:
        return f"{NONE}: too short"
    return f"{slope.per_hour:+.2f} MiB/h ({slope.low:+.2f} to {slope.high:+.2f})"


def _throttling(report: PipelineReport) -> str:
    throttling = report.throttling
    if not throttling.known:
        return NONE
    return ", ".join(throttling.by) or (
        "none" if not throttling.events else f"{throttling.events} events counted"
    )


def _findings(report: SoakReport) -> Table:
    words = {True: "ok", False: "FAIL", None: "-"}
    rows = tuple((one.what, words[one.passed], one.words) for one in report.findings)
    return Table("What was asked", ("", "", ""), rows)


def _accuracy_cells(accuracy: Accuracy) -> tuple[str, str]:
    return accuracy.parity.partition(" (")[
        0
    ], "-" if accuracy.masked_tar is None else f"{accuracy.masked_tar:.1%}"


def _sweep(report: SweepReport) -> Table:
    head = (
        "",
        "frame median",
        "p99",
        "outside",
        "detector",
        "embedder",
        "cpu",
        "parity",
        "masked TAR",
    )
    rows = tuple(
        (
            row.name,
            format_ms(row.frame.median),
            format_ms(row.frame.p99),
            format_ms(row.outside.median),
            *(
                format_ms(network.median if network else None)
                for network in (row.detector_network, row.embedder_network)
            ),
            format_ms(row.cpu_ms_per_frame),
            *_accuracy_cells(row.accuracy),
        )
        for row in report.rows
    )
    return Table(
        f"{report.source}, in {report.rounds} rounds of turns; medians in ms, cpu in ms per frame",
        head,
        rows,
    )


def _refused(report: SweepReport | EngineReport) -> Iterator[Table]:
    if report.refused:
        yield _facts("Not measured", {one.name: one.why for one in report.refused})


def _engines(report: EngineReport) -> Table:
    head = ("", "median", "p99", "per second", "MiB", "parity", "masked TAR")
    rows = tuple(
        (
            row.name,
            format_ms(row.call.median),
            format_ms(row.call.p99),
            f"{row.per_second:.1f}",
            f"{row.mib:.1f}",
            *_accuracy_cells(row.accuracy),
        )
        for row in report.rows
    )
    return Table("Networks alone, ms a call", head, rows)


def _phases(report: EngineReport) -> Iterator[Table]:
    timed = [row for row in report.rows if row.phases]
    if timed:
        names = ("h2d", "compute", "d2h", "enqueue")
        rows = tuple(
            (row.name, *(format_ms(getattr(row.phases, name).median) for name in names))
            for row in timed
        )
        yield Table("Where a call spends its time, medians in ms", ("", *names), rows)


def _warnings(report: EngineReport) -> Iterator[Table]:
    if warned := {row.name: "; ".join(row.warnings) for row in report.rows if row.warnings}:
        yield _facts("Warnings", warned)


def _gallery(report: GalleryReport) -> Table:
    rows = tuple(
        (*_cells(f"{row.templates}", row.search), f"{row.mib:.1f}", f"{row.templates_per_us:.1f}")
        for row in report.rows
    )
    return Table("One search, ms", ("templates", *_HEAD, "MiB", "per µs"), rows)


def _camera(report: CameraReport) -> Table:
    camera = report.camera
    rate = NONE if camera.rate_fps is None else f"{camera.rate_fps:.2f} frames/s"
    facts = {
        "source": f"{report.source}, {report.frame_size}",
        "rate": f"{rate}, {camera.frames} frames in {report.seconds:.1f} s; {report.ended}",
        "interval": _words(camera.interval),
        "jitter": NONE if camera.jitter is None else f"{format_ms(camera.jitter)} ms",
        "age when taken": _words(camera.age),
        "dropped": f"{camera.dropped}; {camera.gaps} gaps",
        "lost": "; ".join(report.lost) or "never",
    }
    return _facts("Camera", facts)


def _words(summary: Summary | None) -> str:
    return (
        NONE
        if summary is None
        else f"median {format_ms(summary.median)}, p99 {format_ms(summary.p99)}, "
        f"max {format_ms(summary.max)} ms"
    )


def _ratios(report: CompareReport) -> Table:
    def cells(ratio: float | None) -> str:
        return "-" if ratio is None else f"{ratio:.3f}"

    rows = tuple(
        (
            r.name,
            format_ms(r.before),
            format_ms(r.after),
            cells(r.ratio),
            "too few" if r.low is None else f"{cells(r.low)} to {cells(r.high)}",
            _judgement(r.judged, r.worse),
        )
        for r in report.ratios
    )
    title = (
        f"{report.after} against {report.before}, medians in ms; worse beyond {report.regression:g}"
    )
    return Table(title, ("", "before", "after", "ratio", "95 % interval", ""), rows)


def _judgement(judged: bool, worse: bool) -> str:
    return "WORSE" if worse else "ok" if judged else ""
