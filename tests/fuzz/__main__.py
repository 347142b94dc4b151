"""`python -m tests.fuzz --minutes 60`.

Fuzz each target in a process and write a table of all runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

_LEAST_S = 5
_STATUS = re.compile(r"#(\d+)\s.*cov: (\d+) ft: (\d+)")
_ARTIFACTS = ("finding-*.txt", "crash-*", "timeout-*", "oom-*", "leak-*", "slow-unit-*")
NEWLINE = "\n"


@dataclass(frozen=True)
class Ran:
    """Result of one process."""

    seconds: float
    executions: int
    covered: int  # edges of `edge` that were taken
    features: int  # the same, with how often


def fuzz(target: Target, folder: Path, seconds: float) -> None:
    """Fuzz until the time is over.

    A process that dies is restarted, its input stays in the folder.
    """
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > _LEAST_S:
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.fuzz.one", target.name, str(folder), str(int(left))]
        done = subprocess.run(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
        (folder / "last.log").write_text(done.stderr[-100_000:])
        found = _STATUS.findall(done.stderr)
        if not found:
            raise SystemExit(f"{target.name}: the fuzzer did not start:\n{done.stderr[-2000:]}")
        ran = Ran(round(time.monotonic() - began, 1), *map(int, found[-1]))
        with (folder / "runs.jsonl").open("a") as file:
            file.write(json.dumps(asdict(ran)) + "\n")


def findings(folder: Path) -> list[Path]:
    return sorted(path for pattern in _ARTIFACTS for path in folder.glob(pattern))


def runs(folder: Path) -> list[Ran]:
    path = folder / "runs.jsonl"
    return (
        [Ran(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    )


def row(target: Target, folder: Path) -> str:
    """Return the table row of all runs in a folder."""
    ran = runs(folder)
    covered, features = (
        max((r.covered for r in ran), default=0),
        max((r.features for r in ran), default=0),
    )
    corpus = len(list((folder / "corpus").glob("*")))
    cells = [
        target.name,
        target.about,
        f"{sum(r.seconds for r in ran) / 3600:.2f}",
        f"{sum(r.executions for r in ran):,}",
        f"{covered}",
        f"{features}",
        f"{corpus}",
        f"{len(findings(folder))}",
    ]
    return f"| {' | '.join(cells)} |"


def page(targets: Sequence[Target], out: Path) -> str:
    rows = [row(target, out / target.name) for target in targets]
    hours = sum(r.seconds for target in targets for r in runs(out / target.name)) / 3600
    return f"""\
# Fuzzing of the parsers

Made by `make fuzz`: each parser under atheris (coverage-guided) in a process of its own,
{hours:.1f} hours in all runs. A finding is any error other than those the parser may raise, a
violated promise, a crash, or more than 30 s or 2 GiB for one input. "Covered" counts the branches
of the package `edge` that inputs reached; "features" also counts how often they were taken.

| target | parser | hours | inputs | covered | features | corpus | open findings |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(rows)}

## Run

`make fuzz MINUTES=60` gives each target its share of an hour and continues from the inputs of
earlier runs in `build/fuzz`. A finding is stored there as the input and a traceback, and the exit
code is 1. `python -m tests.fuzz --minutes 10 --target config` runs one target, in an environment
with `mfsa-edge[fuzz]`. `tests/fuzz/test_fuzz.py` runs each target on its seeds and on fixed inputs
of hypothesis, and breaks each parser once to check that its target reports it.

## Findings, all fixed

- Photos: a few hundred bytes that declared a huge picture took gigabytes; formats other than JPEG
  and PNG were accepted.
- Recordings: a damaged GIF ended the process.
- Configuration: an error about broken YAML quoted a camera's password.
- Audit logs: an invalid time in a damaged line ended the door process.
- Galleries: damage that SQLite quotes byte by byte; a changed row that could not be removed; a
  counter below zero hid people.
- Attributes and exports of people: values of another type and more chips than templates caused
  tracebacks.
- Rosters: a name longer than a file name may be caused a traceback.
- Reports and checkpoints: JSON nested a thousand levels deep and a checkpoint of record 10^30
  caused tracebacks.
- Rows of `edge-audit`: an invalid number or time in a changed line caused a traceback; text could
  add rows.

## Not fuzzed

- ONNX files, TensorRT plans and `parity.npz`: the parsers are foreign. A file is opened only if
  its digest is that of the manifest or sidecar.
- Results for `edge-bench compare`, `tegrastats` and sysfs: the tests have recorded samples.
- Video and network cameras: OpenCV decodes them in the recogniser's account, which cannot reach
  the pins.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument(
        "--minutes",
        type=float,
        required=True,
        help="for all targets together; 0: only the table of earlier runs",
    )
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="may be given again (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/fuzz"),
        help="corpora and findings (default %(default)s)",
    )
    parser.add_argument("--markdown", type=Path, help="the table, of all targets")
    args = parser.parse_args(argv)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed; pip install 'mfsa-edge[fuzz]'", file=sys.stderr)
        return 2
    targets = [TARGETS[name] for name in args.target or TARGETS]
    for target in targets:
        fuzz(target, args.out / target.name, 60 * args.minutes / len(targets))
        print(row(target, args.out / target.name), flush=True)
    if args.markdown:
        args.markdown.write_text(page(list(TARGETS.values()), args.out), encoding="utf-8")
    found = [path for target in targets for path in findings(args.out / target.name)]
    for path in found:
        print(path, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
