"""`mfsa-evaluate`: what a model can do, with and without masks, in numbers and pictures; several models side by side."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calibration.chips import ChipFolder, validation_chips
from calibration.exams import pair_sets, pairs, people, places, real_masks, trust
from calibration.exams.pair_sets import PairSet
from edge import masks
from edge.bundle import DETECTOR_SIZES, EMBEDDER, detector_file, file_digest
from edge.cli import common
from edge.engine import Engine, open_engine
from edge.errors import ConfigError
from edge.face.detect import Detector
from train import report

_DETECTOR_SCORE = 0.6


@dataclass(frozen=True)
class Material:
    """What the models are examined on."""

    pair_sets: list[PairSet]
    people: ChipFolder | None
    real_masks: tuple[ChipFolder, ChipFolder] | None  # masked, unmasked


@dataclass(eq=False)
class Examined:
    """One model's figures for machines, and the scores behind them for curves and comparisons."""

    title: str
    figures: dict[str, Any]
    engine: Engine
    pair_scores: list[pairs.PairScores] = field(default_factory=list)
    people: people.PeopleScores | None = None
    trust: list[trust.Curves] = field(default_factory=list)


def examine(title: str, model: Path, material: Material, *, detector: Detector | None, quick: bool) -> Examined:
    """Sit all exams there is material for; `quick` leaves out what is not the headline. Raises ConfigError, EngineError."""
    file = model / EMBEDDER if model.is_dir() else model
    engine = open_model(file)
    done = Examined(title, {"embedder": file_digest(file) if file.is_file() else "", "masks": masks.EXAM}, engine)
    for chosen in material.pair_sets:
        done.pair_scores.append(pairs.sit(engine, chosen, every_condition=not quick, detector=detector))
    if done.pair_scores:
        done.figures["pairs"] = {scores.pairs.title: scores.figures() for scores in done.pair_scores}
        done.figures["places"] = places.sit(engine, material.pair_sets[0])
    if done.pair_scores and not quick:
        done.trust = [trust.sit(engine, material.pair_sets[0], masked=masked) for masked in (False, True)]
        done.figures["trust"] = {name: curves.figures for name, curves in zip(("clean", "masked"), done.trust, strict=True)}
    if material.people is not None:
        done.people = people.sit(engine, material.people)
        done.figures["people"] = done.people.figures()
    if material.real_masks is not None:
        done.figures["real_masks"] = real_masks.sit(engine, *material.real_masks)
    return done


def compare(first: Examined, other: Examined) -> dict[str, Any]:
    """The headline of `other` less that of `first`, with 95 % by bootstrap over the same people; negative is better."""
    told: dict[str, Any] = {"model": other.title, "less": first.title, "fnmr_masked": {}}
    rounds = {
        a.pairs.title: (a.headline_rounds(), b.headline_rounds()) for a, b in zip(first.pair_scores, other.pair_scores, strict=True)
    }
    if first.people is not None and other.people is not None:
        rounds["people"] = (first.people.counts.fnmr_rounds(), other.people.counts.fnmr_rounds())
    for name, (a, b) in rounds.items():
        low, high = np.quantile(b - a, (0.025, 0.975))
        told["fnmr_masked"][name] = {
            "difference": round(float((b - a).mean()), 5),
            "95": [round(float(low), 5), round(float(high), 5)],
            "words": "lower" if high < 0 else "higher" if low > 0 else "no difference",
        }
    return told


def open_model(model: Path) -> Engine:
    """An engine for an ONNX file, or for a checkpoint, which is run by torch."""
    if model.suffix == ".onnx":
        return open_engine(model, kind="ort", threads=2)
    from train.torch_engine import TorchEngine
    from train.weights import load_network

    return TorchEngine(load_network(model))


def open_detector(where: Path | None) -> Detector | None:
    if where is None:
        return None
    size = DETECTOR_SIZES[-1]
    return Detector(open_engine(where / detector_file(size), kind="ort", threads=2), size, _DETECTOR_SCORE)


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "mfsa-evaluate",
        "What embedders can do: verification of pairs, all against all, searches, real masks, where the maps look and how far "
        "they may be trusted; clean, masked by the frozen exam, by unseen mask families, hidden otherwise.",
        "mfsa-evaluate embedder.onnx --pairs lfw_pairs.txt --chips chips/lfw_pairs.tar --html report.html",
    )
    parser.add_argument(
        "models", type=Path, nargs="+", metavar="MODEL", help="ONNX file, bundle folder, or checkpoint; NAME=FILE names it"
    )
    data = parser.add_argument_group("what to measure on (at least one)")
    data.add_argument("--pairs", type=Path, help="list in LFW's format, with --chips")
    data.add_argument("--chips", type=Path, help=".tar file or folder of the list's aligned chips")
    data.add_argument("--bin", type=Path, nargs="+", default=[], metavar="FILE", help="verification sets of pickled pairs")
    data.add_argument(
        "--people", type=Path, nargs="+", default=[], metavar="SOURCE", help=".tar or folders of <person>/<image>: all against all"
    )
    data.add_argument(
        "--real-masks", type=Path, nargs="+", default=[], metavar="SOURCE", help="the same, where m_<image> wears a real mask"
    )
    data.add_argument("--everybody", action="store_true", help="all people of these, not only the tenth that training keeps apart")
    parser.add_argument(
        "--detector",
        type=Path,
        metavar="BUNDLE",
        help="also find the landmarks of masked faces again; default: a MODEL that is a bundle",
    )
    parser.add_argument(
        "--quick", action="store_true", help="the headline figures only: no unseen families, no other occluders, no trust"
    )
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--html", type=Path, help="write a report for people there, one file with all pictures in it")
    parser.add_argument("--markdown", type=Path, help="write the summary of all models there as a table")
    parser.add_argument(
        "--show-faces", action="store_true", help="put chips of the data into the report; without it only public-domain portraits"
    )
    args = parser.parse_args(argv)
    return common.run("mfsa-evaluate", lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> int:
    material = _material(args)
    bundles = [model for model in args.models if model.is_dir() and (model / detector_file(DETECTOR_SIZES[-1])).is_file()]
    detector = None if args.quick else open_detector(args.detector or (bundles[0] if bundles else None))
    models = [_named(model) for model in args.models]
    done = []
    for title, file in models:
        print(title, file=sys.stderr)
        done.append(examine(title, file, material, detector=detector, quick=args.quick))
    comparisons = [compare(done[0], other) for other in done[1:]]
    print(report.text(done, comparisons))
    if args.json:
        told = done[0].figures if len(done) == 1 else {"models": {d.title: d.figures for d in done}, "comparisons": comparisons}
        args.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if args.markdown:
        args.markdown.write_text(report.markdown(done, comparisons), encoding="utf-8")
    if args.html:
        args.html.write_text(report.html(done, comparisons, show_faces=args.show_faces), encoding="utf-8")
        print(f"look at {args.html}")
    return common.DONE


def _named(model: Path) -> tuple[str, Path]:
    """`NAME=FILE`, or a file whose folder names it best."""
    name, equals, file = str(model).partition("=")
    if equals and not model.exists():
        return name, Path(file)
    return (f"{model.parent.name}/{model.name}" if model.parent.name else model.name), model


def _material(args: argparse.Namespace) -> Material:
    if (args.pairs is None) != (args.chips is None):
        raise ConfigError("--pairs and --chips belong together: a list, and the chips it names")
    sets = [pair_sets.read_list(args.pairs, args.chips)] if args.pairs else []
    sets += [pair_sets.read_bin(file) for file in args.bin]
    folder = validation_chips(args.people, everybody=args.everybody) if args.people else None
    worn = None
    if args.real_masks:
        unmasked = validation_chips(args.real_masks, everybody=args.everybody)
        worn = validation_chips(args.real_masks, everybody=args.everybody, real_masks=True, known=unmasked), unmasked
    if not sets and folder is None and worn is None:
        raise ConfigError("nothing to measure on: name --pairs and --chips, --bin, --people or --real-masks")
    return Material(sets, folder, worn)


if __name__ == "__main__":
    sys.exit(main())
