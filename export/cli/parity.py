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

_TOLD = ("accuracy", "tar_at_fmr_0.01", "tar_at_fmr_0.001")


def main(argv: list[str] | None = None) -> int:
    args = parsers.parity_parser().parse_args(argv)
    return common.run("mfsa-parity", lambda: _parity(args))


def _parity(args: argparse.Namespace) -> int:
    if (args.pairs is None) != (args.pair_chips is None):
        raise ConfigError(
            "--pairs and --pair-chips belong together: a list, and the chips it names"
        )
    if args.max_chips < 1:
        raise ConfigError(f"--max-chips: expected at least 1, found {args.max_chips}")
    common.check_out(args.json)
    reference = ComparisonReference.load(args.reference, args.chips, args.max_chips)
    candidates = [open_form(path) for path in args.candidates]
    told: dict[str, Any] = {}
    refused = []
    for form in candidates:
        precision: Precision = args.precision or form.precision
        verdict = compare_form(reference, form, precision)
        told[str(form.path)] = {"precision": precision, "verdict": verdict.model_dump()}
        print(
            f"{form.path} ({precision}): {'passed' if verdict.passed else 'REFUSED: ' + verdict.reason}"
        )
        print("   " + ", ".join(f"{name} {value:.6g}" for name, value in verdict.figures.items()))
        refused += [] if verdict.passed else [str(form.path)]
    if args.pairs:
        told["verification"], lost = _verification(args, open_form(reference.path), candidates)
        refused += lost
    if args.json:
        args.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if refused:
        names = list(dict.fromkeys(refused))
        raise EngineError(
            f"{len(names)} of {len(candidates)} differ from {args.reference}: {', '.join(names)}"
        )
    return common.DONE


def _verification(
    args: argparse.Namespace, reference: EmbedderForm, candidates: list[EmbedderForm]
) -> tuple[dict[str, Any], list[str]]:
    """Figures of the pairs, clean and one masked, for each form; and the forms that lose more than the bounds allow."""
    chosen = pair_sets.read_list(args.pairs, args.pair_chips)
    told: dict[str, Any] = {}
    lost = []
    print(f"\n{chosen.title}: 10-fold accuracy, TAR at FMR 1e-2 and 1e-3; less the reference's")
    for form in (reference, *candidates):
        figures = pairs.run(form.engine, chosen, every_condition=False).figures()
        told[str(form.path)] = {
            "pairs": {chosen.title: {name: figures[name] for name in ("clean", "one_masked")}}
        }
        before = told[str(reference.path)]["pairs"][chosen.title]
        for name, row in told[str(form.path)]["pairs"][chosen.title].items():
            values = [f"{row[key]:.2%} ({row[key] - before[name][key]:+.2%})" for key in _TOLD]
            print(f"  {form.path.name:28} {name:11} {'  '.join(values)}")
        if words := accuracy_loss(told[str(reference.path)], told[str(form.path)]):
            print(f"  REFUSED: {words}")
            lost.append(str(form.path))
    return told, lost


if __name__ == "__main__":
    sys.exit(main())
