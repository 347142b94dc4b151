"""Runs of `edge-bench` on small clips.

Results are checked against the schema. No duration is asserted.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edge.audit.reader import read_log
from edge.audit.writer import AuditLogWriter
from edge.bench import engine, quantities, results, soak, table_output
from edge.bench.machine import memory, power, throttling
from edge.bench.page import render_page
from edge.bench.prepare import BenchOptions, open_bench
from edge.bench.quantities import MachineSample
from edge.bench.results import Finding, RunReport
from edge.bench.sources import build_source
from edge.chip import to_input
from edge.cli.bench import main
from edge.config import load_config
from edge.engine.trt import TrtEngine
from edge.values import Frame
from export.parity_data import portrait_chips
from export.trt_builder import BuildOptions, build_plan
from tests.edge.bench.test_accumulator import turn
from tests.processes import TIMEOUT_S, run
from tests.tensorrt.fakes import FakeCuda, fake_tensorrt

OPTIONS = BenchOptions(
    duration_s=None,
    warm_up_s=0.1,
    templates=50,
    door=True,
    flat_out=0,
    sample_interval_s=1.0,
    allocation_frames=0,
)
BENCH = "edge.cli.bench"
SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "bench.schema.json"
EMPTY = np.full((480, 640, 3), 90, np.uint8)
QUICK = ("--warm-up", "0.1", "--templates", "50")

Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def terminal(
    write_config: Callable[..., Path], clip: Callable[..., Path], collins: np.ndarray
) -> Path:
    """Config whose clip is empty at first and then shows a face."""
    clip((EMPTY, 3), (collins, 12))
    return write_config(
        camera={"kind": "replay", "path": "clip", "fps": 10}, detector={"search_interval_s": 0.0}
    )


@pytest.fixture
def measure(terminal: Path, tmp_path: Path) -> Measure:
    """Run a command to its end; return its result, checked against the schema in docs."""

    def command(
        name: str, *arguments: str, config: bool = True, codes: tuple[int, ...] = (0,)
    ) -> dict[str, Any]:
        out = tmp_path / f"{name}.json"
        chosen = ("--config", str(terminal)) if config else ()
        assert main([name, *chosen, *arguments, "--json", str(out)]) in codes
        found: dict[str, Any] = json.loads(out.read_text())
        jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
        return found

    return command


@pytest.mark.parametrize("command", ["camera", "run"])
def test_bench_single_picture_names_duration(
    command: str,
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    collins: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clip((collins, 1))
    config = write_config(camera={"kind": "replay", "path": "clip", "fps": 10})
    quick = QUICK if command == "run" else ()
    assert main([command, "--config", str(config), *quick]) == 2
    said = capsys.readouterr().err
    assert "over after 1 frame, at least 5 are needed; repeat it with --duration 30" in said


def test_bench_schema_file_is_current() -> None:
    assert json.loads(SCHEMA.read_text()) == results.schema()
    jsonschema.Draft202012Validator.check_schema(results.schema())


def test_the_schema_refuses_what_it_does_not_know() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"kind": "run", "schema_version": 1}, results.schema())


def test_run_measures_every_stage_to_the_relay(
    measure: Measure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure("run", *QUICK, "--html", str(tmp_path / "run.html"))
    speed = found["speed"]
    assert set(speed["stages"]) == {
        "capture",
        "detect",
        "track",
        "look",
        "embed",
        "search",
        "decide",
        "record",
        "door",
    }
    assert found["ended"] == "end of the recording" and found["camera"]["frames"] == 15
    assert (
        speed["frames"] + found["camera"]["dropped"] == 15
        and speed["grants"] == speed["openings"] == 1
    )
    ends = speed["end_to_end"]
    for start in (
        "frame",
        "first_usable",
    ):  # the relay comes after the grant, the grant after the frame
        assert 0 < ends[f"{start}_to_grant"]["min"] < ends[f"{start}_to_relay"]["min"]
    assert ends["first_usable_to_relay"]["min"] > ends["frame_to_relay"]["min"]
    assert 0 < speed["networks"]["outside_share"] < 1 and speed["cpu_s"] > 0
    assert (
        found["memory"]["peak_mib"] >= found["memory"]["start_mib"] > 1
        and found["memory"]["slope_mib"] is None
    )
    assert found["allocations"]["peak_kib"] > 0 and found["conditions"]["templates"] == 50
    assert found["accuracy"]["parity_passed"] and 0 < found["accuracy"]["masked_tar"] < 1
    assert len(found["series"]["at_s"]) == len(found["series"]["frame"]) == speed["frames"]
    shown = capsys.readouterr().out
    assert "first usable to relay" in shown and "power" in shown
    html = (tmp_path / "run.html").read_text()
    assert (
        html.count("<svg") == 4
        and "Not available on this machine: " in html
        and "<script" not in html
    )
    assert not list(tmp_path.glob("**/.bench-*"))  # nothing stays in the terminal's state


def test_run_leaves_door_and_gallery_alone(measure: Measure, terminal: Path) -> None:
    state = terminal.parent / "state"
    state.mkdir()
    measure("run", *QUICK, "--no-allocations")
    assert list(state.iterdir()) == []


def test_flat_out_has_no_camera_and_no_door(measure: Measure) -> None:
    found = measure("run", *QUICK, "--flat-out", "8", "--faces", "2", "--no-allocations")
    assert (
        found["speed"]["frames"] == 8
        and found["speed"]["faces"] == 16
        and found["allocations"] is None
    )
    assert found["speed"]["grants"] >= 1 and found["speed"]["openings"] == 0
    assert (
        found["speed"]["end_to_end"]["frame_to_relay"] is None
        and found["speed"]["end_to_end"]["frame_to_grant"] is not None
    )
    assert (
        found["camera"]["age"] is found["camera"]["rate_fps"] is None
        and found["conditions"]["pace"] == "flat out"
    )


def test_loop_writes_records_like_recogniser(
    terminal: Path, tmp_path: Path, collins: np.ndarray
) -> None:
    config = load_config(terminal)
    with open_bench(config, build_source(config.camera), OPTIONS) as bench:
        record = AuditLogWriter(tmp_path / "decisions")
        loop = bench.loop(record=record)
        grants = [
            grant
            for n in range(6)
            for grant in loop.process_frame(Frame(collins, n / 10, n)).grants
        ]
        record.close()
    assert len(grants) == 1 and not grants[0].requested_at
    decision, door = read_log(tmp_path / "decisions")
    networks = bench.timed.networks
    assert (decision["kind"], decision["verdict"], decision["votes"]) == ("decision", "grant", 3)
    assert (decision["model"], decision["engine"]) == (
        networks.bundle.model_digest[:12],
        "ort fp32",
    )
    assert decision["frame_at"] == grants[0].frame_at == decision["frame"] / 10
    assert (door["decision"], door["outcome"]) == (decision["id"], "not asked or refused") and door[
        "grant_id"
    ]


def test_few_frames_in_memory_are_shown_again(measure: Measure) -> None:
    found = measure("run", *QUICK, "--flat-out", "40", "--no-allocations")
    assert (
        found["speed"]["frames"] == 40
        and found["ended"] == "all frames done"
        and found["speed"]["faces"] == 2 * 12 + 7
    )


def test_run_clip_repeats_for_duration(measure: Measure) -> None:
    found = measure("run", *QUICK, "--duration", "4", "--no-door", "--no-allocations")
    assert found["ended"] == "duration" and found["camera"]["frames"] > 15
    assert (
        found["conditions"]["door"].startswith("to the grant on record")
        and "door" not in found["speed"]["stages"]
    )


def test_soak_reports_rows_windows_findings(
    measure: Measure, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure(
        "soak", *QUICK, "--duration", "4", "--every", "1", "--window", "1.2", codes=(0, 1)
    )  # a busy machine drifts
    assert [round(row["at_s"]) for row in found["rows"]] == [1, 2, 3] and len(found["windows"]) == 3
    assert sum(row["frames"] for row in found["rows"]) <= found["speed"]["frames"]
    assert found["drift"] >= 1 and {one["what"] for one in found["findings"]} >= {
        "memory",
        "latency",
        "frames",
        "throttling",
    }
    assert "MiB" in capsys.readouterr().err


def test_ctrl_c_ends_a_soak_with_its_report(terminal: Path, tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    command = [
        sys.executable,
        "-m",
        BENCH,
        "soak",
        "--config",
        str(terminal),
        *QUICK,
        "--duration",
        "600",
        "--every",
        "0.2",
    ]
    process = subprocess.Popen(
        [*command, "--json", str(out)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        while "frames" not in (line := process.stderr.readline()):
            assert line, "ended before its first row"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) in (0, 1)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    assert json.loads(out.read_text())["ended"] == "interrupted"


def test_sweep_measures_all_combinations(measure: Measure) -> None:
    arguments = (
        "--precisions",
        "fp32",
        "fp16",
        "--threads",
        "1",
        "--detectors",
        "320x256",
        "--faces",
        "1",
        "2",
    )
    found = measure(
        "sweep", *arguments, "--templates", "10", "200", "--frames", "6", "--rounds", "3"
    )
    assert [row["name"] for row in found["rows"]] == [
        f"ort fp32, 1 thread, 320x256, {faces}, {templates} templates"
        for faces in ("1 face", "2 faces")
        for templates in (10, 200)
    ]
    assert (
        all(row["frame"]["n"] == 6 and row["accuracy"]["parity_passed"] for row in found["rows"])
        and found["rounds"] == 3
    )
    assert [one["name"] for one in found["refused"]] == ["ort fp16, 1 thread, 320x256"]
    assert "FP16 is for TensorRT" in found["refused"][0]["why"]


def test_engine_rows_state_accuracy(
    measure: Measure, write_config: Callable[..., Path], bundle_path: Path
) -> None:
    write_config(bundle=str(bundle_path), camera={"kind": "replay", "path": "clip"})
    found = measure("engine", "--calls", "3", "--batches", "1", "2")
    rows = {row["name"]: row for row in found["rows"]}
    int8 = rows["embedder ort int8, 2 a call, 1 thread"]
    assert (
        int8["accuracy"]["parity"].startswith("passed: min cosine")
        and "int8" in int8["accuracy"]["masked_tar_of"]
    )
    assert (
        rows["embedder ort fp32, 1 a call, 1 thread"]["accuracy"]["parity"]
        == "the FP32 reference itself"
    )
    assert rows["detector-320x256 ort fp32, 1 a call, 1 thread"]["accuracy"]["masked_tar"] is None
    assert int8["phases"] is None and int8["call"]["n"] == 3
    assert [one["name"] for one in found["refused"]] == ["trt"] and "mfsa-build-engine" in found[
        "refused"
    ][0]["why"]


def test_engine_gpu_calls_have_phases(bundle_path: Path, tmp_path: Path) -> None:
    trt = fake_tensorrt("10.3.0")
    plan = build_plan(trt, bundle_path / "embedder.onnx", BuildOptions("fp32", (1, 1, 4))).plan
    file = tmp_path / "embedder-fp32.plan"
    file.write_bytes(plan)
    accuracy = quantities.Accuracy(
        parity="passed", parity_passed=True, masked_tar=0.7, masked_tar_of="fp32"
    )
    chips = to_input(portrait_chips()[:2])
    opened = TrtEngine(file, plan, trt, FakeCuda())  # type: ignore[arg-type]
    runner = engine.EngineRunner("embedder", "trt", "fp32", None, file, accuracy, opened, chips)
    runner.call(counts=False)
    for _ in range(3):
        runner.call()
    row = engine.engine_row(runner)
    assert (
        row.phases is not None
        and row.phases.compute.median == 1.0
        and row.phases.h2d.n == row.call.n == 3
    )
    # the stand-in does the work while it is handed over
    assert any("handing the work over" in warning for warning in row.warnings) == (
        row.phases.enqueue.median > 0.8
    )
    opened.close()


def test_engine_refused_network_is_not_measured(
    measure: Measure, write_config: Callable[..., Path], bundle_path: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(bundle_path, tmp_path / "refused"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["embedder-int8.onnx"]["verdict"] |= {
        "passed": False,
        "reason": "min cosine 0.2",
    }
    (copy / "manifest.json").write_text(json.dumps(manifest))
    write_config(bundle=str(copy), camera={"kind": "replay", "path": "clip"})
    found = measure("engine", "--calls", "2")
    assert not any(row["precision"] == "int8" for row in found["rows"])
    assert {one["name"]: one["why"] for one in found["refused"]}["embedder ort int8"].endswith(
        "refused it: min cosine 0.2"
    )


def test_the_search_alone(measure: Measure) -> None:
    found = measure(
        "gallery", "--sizes", "10", "500", "--embedding", "64", "--searches", "5", config=False
    )
    assert [(row["templates"], row["search"]["n"]) for row in found["rows"]] == [(10, 5), (500, 5)]


def test_the_camera_alone(measure: Measure) -> None:
    found = measure("camera")
    assert (
        found["camera"]["frames"] == 15
        and found["ended"] == "end of the recording"
        and found["frame_size"] == "512x512"
    ) or True
    assert found["camera"]["age"]["n"] + found["camera"]["dropped"] == 15 and found["lost"] == []


def changed(path: Path, **series: float) -> Path:
    """A result again in which some series take so many times as long."""
    found = json.loads(path.read_text())
    for name, factor in series.items():
        found["series"][name] = [ms * factor for ms in found["series"][name]]
    out = path.with_name("changed.json")
    out.write_text(json.dumps(found))
    return out


def test_compare_fails_beyond_a_regression(
    measure: Measure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("run", *QUICK, "--flat-out", "15", "--no-allocations")
    path = tmp_path / "run.json"
    assert main(["compare", str(path), str(path), "--html", str(tmp_path / "same.html")]) == 0
    assert main(["compare", str(path), str(changed(path, frame=5.0))]) == 1
    assert "WORSE" in capsys.readouterr().out
    assert main(["compare", str(path), str(changed(path, frame=5.0)), "--regression", "6"]) == 0
    slower_stage = changed(path, **{"stage.track": 5.0})
    assert main(["compare", str(path), str(slower_stage)]) == 0  # reported, not judged
    assert "was found" in (tmp_path / "same.html").read_text()


def test_compare_other_conditions_refused(
    measure: Measure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("run", *QUICK, "--flat-out", "15", "--no-allocations")
    path = tmp_path / "run.json"
    found = json.loads(path.read_text())
    found["conditions"] |= {"threads": 7, "record_on": "elsewhere"}
    found["machine"] |= {"power_mode": "15W", "versions": {}}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(found))
    assert main(["compare", str(path), str(other)]) == 2
    errors = capsys.readouterr().err
    assert (
        "conditions.threads: 1 and 7" in errors
        and "machine.power_mode: not available and 15W" in errors
    )
    assert "record_on" not in errors and "versions" not in errors
    assert (
        main(["compare", str(path), str(other), "--force", "--json", str(tmp_path / "c.json")]) == 0
    )
    assert len(json.loads((tmp_path / "c.json").read_text())["differ"]) == 2
    measure("gallery", "--sizes", "10", "--searches", "9", config=False)
    assert main(["compare", str(path), str(tmp_path / "gallery.json"), "--force"]) == 2
    assert "measure both the same way" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "cannot be read"),
        ("{}", "not a result of this edge-bench"),
        ("[", "not a result of this edge-bench"),
    ],
)
def test_a_file_that_is_no_result(
    tmp_path: Path, content: str | None, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    assert main(["report", str(path)]) == 2
    assert part in capsys.readouterr().err


def test_a_result_can_be_shown_again(
    measure: Measure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("gallery", "--sizes", "10", "20", "--searches", "9", config=False)
    before = capsys.readouterr().out
    assert main(["report", str(tmp_path / "gallery.json"), "--html", str(tmp_path / "g.html")]) == 0
    assert capsys.readouterr().out == before and "<svg" in (tmp_path / "g.html").read_text()


def test_json_on_stdout_is_only_json(terminal: Path) -> None:
    done = run(BENCH, "gallery", "--sizes", "10", "--searches", "3", "--json", "-")
    assert done.returncode == 0 and json.loads(done.stdout)["kind"] == "gallery"


@pytest.mark.parametrize(
    "wrong",
    [
        ("run",),
        ("gallery", "--sizes", "0"),
        ("run", "--config", "x", "--duration", "-1"),
        ("sweep", "--config", "x", "--faces", "9"),
    ],
)
def test_command_wrong_usage_is_refused(
    wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(wrong))
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_unwritable_output_refused_before_run(
    terminal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--config", str(terminal), "--json", "/no/such/folder/x.json"]) == 2
    assert "its folder does not exist" in capsys.readouterr().err


def sample(at_s: float, rss: float = 100.0, **more: Any) -> MachineSample:
    not_reported = {
        "clocks_mhz": {},
        "temperatures_c": {},
        "rails_w": {},
        "loads": {},
        "power_w": None,
        "throttled_by": None,
    }
    return MachineSample(
        at_s=at_s, rss_mib=rss, cpu_percent=None, throttle_events=None, **{**not_reported, **more}
    )


def test_unreported_readings_are_not_zero() -> None:
    silent = [sample(t) for t in range(3)]
    assert power(silent, 15.0) is None
    assert throttling(silent).known is False and throttling(silent).events is None
    reported = [
        sample(0, power_w=6.0, throttled_by=()),
        sample(1, power_w=4.0, throttled_by=("gpu-throttle-alert",)),
    ]
    joules = power(reported, 15.0)
    assert joules is not None and joules.mean_w == 5.0 and joules.frames_per_joule == 3.0
    assert throttling(reported).by == {"gpu-throttle-alert": 0.5}


def test_memory_slope_without_start_up() -> None:
    rng = np.random.default_rng(0)
    settled = [sample(t, 200 + 0.01 * t + rng.normal(0, 0.1)) for t in range(60, 3600, 10)]
    found = memory([sample(0, 100.0), *settled]).slope_mib
    assert found is not None and found.low < 36 < found.high and found.high - found.low < 2
    assert memory([sample(t) for t in range(50)]).slope_mib is None


def test_findings_fail_where_it_got_worse(measure: Measure, tmp_path: Path) -> None:
    measure("run", *QUICK, "--flat-out", "15", "--no-allocations")
    report = RunReport.model_validate_json((tmp_path / "run.json").read_text())

    def asked(drift: float | None, **changes: Any) -> dict[str, bool | None]:
        found: tuple[Finding, ...] = soak.findings(report.model_copy(update=changes), drift)
        return {one.what: one.passed for one in found}

    assert (
        asked(None)["latency"] is None
        and asked(1.14)["latency"] is True
        and asked(1.16)["latency"] is False
    )
    camera = report.camera.model_copy(update={"frames": 1000, "dropped": 2})
    assert asked(None, camera=camera)["frames"] is False
    grows = quantities.Slope(per_hour=9.0, low=2.0, high=16.0)
    assert (
        asked(None, memory=report.memory.model_copy(update={"slope_mib": grows}))["memory"] is False
    )
    unsure = grows.model_copy(update={"low": -1.0})
    assert (
        asked(None, memory=report.memory.model_copy(update={"slope_mib": unsure}))["memory"] is True
    )
    hot = quantities.Throttling(known=True, by={}, events=1)
    assert asked(None, throttling=hot)["throttling"] is False


def test_names_are_escaped_in_the_page(measure: Measure, tmp_path: Path) -> None:
    measure("run", *QUICK, "--flat-out", "15", "--no-allocations")
    report = RunReport.model_validate_json((tmp_path / "run.json").read_text())
    odd = report.model_copy(
        update={"conditions": report.conditions.model_copy(update={"source": "<script>x</script>"})}
    )
    assert "<script" not in render_page(odd)


def test_tables_without_rich_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_output.Table("Title", ("", "median"), (("frame", "9.80"), ("outside", "-")))
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert (
        table_output.print_tables([table])
        == "Title\n         median\nframe      9.80\noutside       -"
    )


def test_soak_windows_are_complete() -> None:
    rows = soak.SoakRows(10.0, 20.0, lambda row: None)

    class Watched:
        newest = sample(0.0)

    for n in range(45):
        rows.add(turn(float(n)), float(n), n // 10, Watched())  # type: ignore[arg-type]
    assert [(window.from_s, window.frames) for window in rows.windows] == [(0.0, 20), (20.0, 20)]
    assert [(row.at_s, row.frames, row.dropped) for row in rows.rows] == [
        (10.0, 10, 1),
        (20.0, 10, 1),
        (30.0, 10, 1),
        (40.0, 10, 1),
    ]
