"""Options and examples of the subcommands of `edge-bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.bundle import DETECTOR_SIZES
from edge.cli import common

ABOUT = {
    "run": "measure the path from camera to relay, by stage and end to end",
    "soak": "the same for hours: memory, drift, heat, lost frames; exits with 1 if it got worse",
    "sweep": "compare precisions, threads, detector sizes, faces and galleries, in turns",
    "engine": "measure the networks alone, each with its parity result and masked TAR",
    "gallery": "measure the search alone, over synthetic templates",
    "camera": "measure the camera alone: rate, age, jitter, drops",
    "compare": "compare two results: ratios with intervals; exits with 1 beyond --regression",
    "report": "show a result again, as table or page: measure on the device, draw on a workstation",
    "schema": "print the JSON Schema of all results",
}
EXAMPLES = {
    "run": "edge-bench run --config terminal.yaml --duration 60 --json run.json --html run.html",
    "soak": "edge-bench soak --config terminal.yaml --duration 14400 --every 30 --json soak.json",
    "sweep": "edge-bench sweep --config terminal.yaml --precisions fp32 int8 --faces 1 3 5",
    "engine": "edge-bench engine --config terminal.yaml --batches 1 2 --json engine.json",
    "gallery": "edge-bench gallery --sizes 1000 10000 100000",
    "camera": "edge-bench camera --config terminal.yaml --duration 20",
    "compare": "edge-bench compare before.json after.json --regression 1.10",
    "report": "edge-bench report run.json --html run.html",
    "schema": "edge-bench schema > bench.schema.json",
}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the options, with `command`."""
    parser = common.parser(
        "edge-bench",
        "Measure a terminal on this machine. No door opens: grants go to a separate door process "
        "with "
        "a simulated relay, and the terminal's gallery is not opened. People in the frames are "
        "enrolled in memory, among synthetic templates.",
        EXAMPLES["run"],
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, add in _OPTIONS.items():
        about = ABOUT[name]
        target = commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=f"example: {EXAMPLES[name]}",
        )
        add(target)
    return parser.parse_args(argv)


def _add_pipeline_options(target: argparse.ArgumentParser) -> None:
    common.add_config(target)
    target.add_argument(
        "--faces",
        type=int,
        choices=range(1, 7),
        metavar="1..6",
        help="draw frames with N faces instead of using the camera",
    )
    target.add_argument(
        "--full-frame", choices=DETECTOR_SIZES, metavar="SIZE",
        help="search every frame completely, with this detector input: "
            f"{' or '.join(DETECTOR_SIZES)}",
    )  # fmt: skip
    target.add_argument(
        "--templates",
        type=common.whole_number(0),
        default=1000,
        help="number of templates in the gallery (default %(default)s)",
    )
    target.add_argument(
        "--warm-up",
        type=common.positive_number,
        default=2.0,
        metavar="SECONDS",
        help="time before the measurement (default %(default)g)",
    )
    target.add_argument(
        "--no-door",
        action="store_true",
        help="measure up to the audit log only, without a door process",
    )
    _outputs(target)


def _run(target: argparse.ArgumentParser) -> None:
    _add_pipeline_options(target)
    target.add_argument(
        "--duration",
        type=common.positive_number,
        metavar="SECONDS",
        help="default: 30, or to the end of a recording",
    )
    target.add_argument(
        "--flat-out", type=common.whole_number(0),
        nargs="?", const=400, default=0, metavar="FRAMES",
        help="repeat N frames from memory as fast as possible, without the camera (default 400)",
    )  # fmt: skip
    target.add_argument(
        "--no-allocations",
        action="store_true",
        help="skip the pass that counts the allocations of a frame",
    )


def _soak(target: argparse.ArgumentParser) -> None:
    _add_pipeline_options(target)
    target.add_argument(
        "--duration", type=common.positive_number, default=1800.0, metavar="SECONDS",
        help="default %(default)g; Ctrl-C ends it with a report",
    )  # fmt: skip
    target.add_argument(
        "--every",
        type=common.positive_number,
        default=30.0,
        metavar="SECONDS",
        help="time between rows (default %(default)g)",
    )
    target.add_argument(
        "--window",
        type=common.positive_number,
        default=300.0,
        metavar="SECONDS",
        help="time of which medians are compared (default %(default)g)",
    )


def _sweep(target: argparse.ArgumentParser) -> None:
    common.add_config(target)
    target.add_argument(
        "--engines", nargs="+", choices=("ort", "trt"), help="default: that of the configuration"
    )
    target.add_argument(
        "--precisions",
        nargs="+",
        choices=("fp32", "fp16", "int8"),
        default=["fp32", "int8"],
        help="of the embedder (default: fp32 and int8)",
    )
    target.add_argument(
        "--threads",
        nargs="+",
        type=common.whole_number(1),
        help="threads of ONNX Runtime (default: 1 and all cores)",
    )
    target.add_argument(
        "--detectors",
        nargs="+",
        choices=DETECTOR_SIZES,
        default=list(DETECTOR_SIZES),
        help="inputs of the detector (default: all)",
    )
    _sweep_load(target)
    _outputs(target)


def _sweep_load(target: argparse.ArgumentParser) -> None:
    target.add_argument(
        "--faces",
        nargs="+",
        type=int,
        choices=range(1, 7),
        default=[],
        metavar="1..6",
        help="draw frames with N faces (default: use the camera)",
    )
    target.add_argument(
        "--templates",
        nargs="+",
        type=common.whole_number(0),
        default=[1000],
        help="templates in the gallery (default 1000)",
    )
    target.add_argument(
        "--frames",
        type=common.whole_number(1),
        default=120,
        help="frames of each combination (default %(default)s)",
    )
    target.add_argument(
        "--rounds",
        type=common.whole_number(1),
        default=6,
        help="rounds in which all take turns (default %(default)s)",
    )


def _engine(target: argparse.ArgumentParser) -> None:
    common.add_config(target)
    target.add_argument(
        "--calls",
        type=common.whole_number(1),
        default=200,
        help="calls of each row (default %(default)s)",
    )
    target.add_argument(
        "--batches",
        nargs="+",
        type=common.whole_number(1),
        default=[1],
        help="chips per call of the embedder (default 1)",
    )
    target.add_argument(
        "--threads",
        nargs="+",
        type=common.whole_number(1),
        default=[1],
        help="threads of ONNX Runtime (default 1)",
    )
    _outputs(target)


def _gallery(target: argparse.ArgumentParser) -> None:
    sizes = [1_000, 10_000, 100_000]
    target.add_argument(
        "--sizes",
        nargs="+",
        type=common.whole_number(1),
        default=sizes,
        help="numbers of templates (default 1000 10000 100000)",
    )
    target.add_argument(
        "--embedding",
        type=common.whole_number(1),
        default=256,
        help="length of a template (default %(default)s)",
    )
    target.add_argument(
        "--searches",
        type=common.whole_number(1),
        default=200,
        help="searches in each gallery (default %(default)s)",
    )
    _outputs(target)


def _camera(target: argparse.ArgumentParser) -> None:
    common.add_config(target)
    target.add_argument(
        "--duration",
        type=common.positive_number,
        metavar="SECONDS",
        help="default: 10, or to the end of a recording",
    )
    _outputs(target)


def _compare(target: argparse.ArgumentParser) -> None:
    target.add_argument("before", type=Path, metavar="A.json", help="earlier result")
    target.add_argument("after", type=Path, metavar="B.json", help="later result")
    target.add_argument(
        "--regression", type=common.positive_number, default=1.10, metavar="RATIO",
        help="ratio of medians beyond which B is worse (default %(default)g)",
    )  # fmt: skip
    target.add_argument("--force", action="store_true", help="compare results not measured alike")
    _outputs(target)


def _report(target: argparse.ArgumentParser) -> None:
    target.add_argument(
        "result", type=Path, metavar="RESULT.json", help="result of any measurement"
    )
    _outputs(target)


def _schema(target: argparse.ArgumentParser) -> None:
    """Add no options: `edge-bench schema` has none."""


def _outputs(target: argparse.ArgumentParser) -> None:
    target.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the result as JSON; - for standard output instead of tables",
    )
    target.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots")


_OPTIONS = {
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
