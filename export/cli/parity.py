"""Command `mfsa-parity`: compare the forms of an embedder."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from calibration.evaluation import pair_sets, pairs
from edge.cli import common
from edge.errors import ConfigError, EngineError
from edge.values import Precision
from export.cli import parsers
from export.compare import ComparisonReference, EmbedderForm, compare_form, open_form
from export.parity import (
    accuracy_loss,
)

_FIGURES = ("accuracy", "tar_at_fmr_0.01", "tar_at_fmr_0.001")


def main(argv: list[str] | None = None) -> int:
    args = parsers.parity_parser().parse_args(argv)
    return common.run("mfsa-parity", lambda: _parity(args))


def _parity(args: argparse.Namespace) -> int:
    if (args.pairs is None) != (args.pair_chips is None):
        raise ConfigError("--pairs and --pair-chips belong together: a list, and its chips")
    if args.max_chips < 1:
        raise ConfigError(f"--max-chips: expected at least 1, found {args.max_chips}")
    common.check_output_files(args.json)
    reference = ComparisonReference.load(args.reference, args.chips, args.max_chips)
    candidates = [open_form(path) for path in args.candidates]
    report: dict[str, Any] = {}
    refused = []
    for form in candidates:
        precision: Precision = args.precision or form.precision
        result = compare_form(reference, form, precision)
        report[str(form.path)] = {"precision": precision, "verdict": result.model_dump()}
        print(
            f"{form.path} ({precision}): "
            f"{'passed' if result.passed else 'REFUSED: ' + result.reason}"
        )
        print("   " + ", ".join(f"{name} {value:.6g}" for name, value in result.figures.items()))
        refused += [] if result.passed else [str(form.path)]
    if args.pairs:
        report["verification"], lost = _verification(args, open_form(reference.path), candidates)
        refused += lost
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if refused:
        names = list(dict.fromkeys(refused))
        raise EngineError(
            f"{len(names)} of {len(candidates)} differ from {args.reference}: {', '.join(names)}"
        )
    return common.DONE


def _verification(
    args: argparse.Namespace, reference: EmbedderForm, candidates: list[EmbedderForm]
) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of the pairs for each form, and the forms that lose too much."""
    chosen = pair_sets.read_list(args.pairs, args.pair_chips)
    figures_of: dict[str, Any] = {}
    lost = []
    print(f"\n{chosen.title}: 10-fold accuracy, TAR at FMR 1e-2 and 1e-3; less the reference's")
    for form in (reference, *candidates):
        figures = pairs.run(form.engine, chosen, every_condition=False).figures()
        figures_of[str(form.path)] = {
            "pairs": {chosen.title: {name: figures[name] for name in ("clean", "one_masked")}}
        }
        before = figures_of[str(reference.path)]["pairs"][chosen.title]
        for name, row in figures_of[str(form.path)]["pairs"][chosen.title].items():
            values = [f"{row[key]:.2%} ({row[key] - before[name][key]:+.2%})" for key in _FIGURES]
            print(f"  {form.path.name:28} {name:11} {'  '.join(values)}")
        if words := accuracy_loss(figures_of[str(reference.path)], figures_of[str(form.path)]):
            print(f"  REFUSED: {words}")
            lost.append(str(form.path))
    return figures_of, lost


if __name__ == "__main__":
    sys.exit(main())
