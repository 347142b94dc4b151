"""`mfsa-evaluate`: what a model can do, with and without masks, in numbers and pictures; several models side by side."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.chips import ChipFolder, validation_chips
from calibration.exams import drawn_pairs, pair_sets, pairs, people, places, real_masks, trust
from calibration.exams.comparisons import interval
from calibration.exams.pair_sets import PairSet
from calibration.faces import check_encoded, check_folder
from edge import masks
from edge.bundle import DETECTOR_SIZES, EMBEDDER, MANIFEST, detector_file, file_digest
from edge.cli import common
from edge.config.recognition import DetectorConfig as DetectorDefaults
from edge.engine import Engine, open_engine
from edge.errors import ConfigError
from edge.face.detect import FaceDetector
from train import commands, report

AUTO = "auto"


@dataclass(frozen=True)
class Material:
    """What the models are examined on."""

    pair_sets: list[PairSet]
    people: ChipFolder | None
    real_masks: tuple[ChipFolder, ChipFolder] | None  # masked, unmasked
    kept_apart: bool  # whether people and real masks are of the tenth that training keeps apart


@dataclass(eq=False)
class Examined:
    """One model's figures for machines, and the scores behind them for curves and comparisons."""

    title: str
    figures: dict[str, Any]
    engine: Engine
    pair_scores: list[pairs.PairScores] = field(default_factory=list)
    people: people.PeopleScores | None = None
    trust: list[trust.Curves] = field(default_factory=list)


def examine(
    done: Examined, material: Material, *, detector: FaceDetector | None, quick: bool
) -> None:
    """Sit all exams there is material for; `quick` leaves out what is not the headline. Raises ConfigError, EngineError."""
    engine = done.engine
    for chosen in material.pair_sets:
        done.pair_scores.append(
            pairs.sit(engine, chosen, every_condition=not quick, detector=detector)
        )
    if done.pair_scores:
        done.figures["pairs"] = {
            scores.pairs.title: scores.figures() for scores in done.pair_scores
        }
        done.figures["places"] = places.sit(engine, material.pair_sets[0])
    if done.pair_scores and not quick:
        done.trust = [
            trust.sit(engine, material.pair_sets[0], masked=masked) for masked in (False, True)
        ]
        done.figures["trust"] = {
            name: curves.figures
            for name, curves in zip(("clean", "masked"), done.trust, strict=True)
        }
    if material.people is not None:
        done.people = people.sit(engine, material.people)
        done.figures["people"] = {"kept_apart": material.kept_apart, **done.people.figures()}
    if material.real_masks is not None:
        done.figures["real_masks"] = {
            "kept_apart": material.kept_apart,
            **real_masks.sit(engine, *material.real_masks),
        }


def compare(first: Examined, other: Examined) -> dict[str, Any]:
    """The headline of `other` less that of `first`: FNMR and FMR of masked probes, 95 % by bootstrap over the same people.

    A network that makes masked faces alike lowers the FNMR and lets strangers in, so neither is told alone.
    """
    told: dict[str, Any] = {"model": other.title, "less": first.title, "masked": {}}
    for a, b in zip(first.pair_scores, other.pair_scores, strict=True):
        fixed = (
            model.figures["pairs"][a.pairs.title]["at_unmasked_threshold_fmr_1e-3"]
            for model in (first, other)
        )
        told["masked"][a.pairs.title] = _difference(*fixed, a.headline_rounds, b.headline_rounds)
    if first.people is not None and other.people is not None:
        fixed = (model.figures["people"]["at_unmasked_threshold"] for model in (first, other))
        told["masked"]["people"] = _difference(
            *fixed, first.people.headline_rounds, other.people.headline_rounds
        )
    return told


def _difference(
    a: dict[str, Any],
    b: dict[str, Any],
    a_rounds: NDArray[np.float64],
    b_rounds: NDArray[np.float64],
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for rate, column in (("fnmr", 0), ("fmr", 1)):
        told[rate] = [a[f"{rate}_masked"], b[f"{rate}_masked"]]
        told[f"{rate}_difference_95"] = interval(b_rounds[:, column] - a_rounds[:, column])
    (low, high), fmr_low = told["fnmr_difference_95"], told["fmr_difference_95"][0]
    if high < 0:
        told["words"] = "lower, but it lets more strangers in" if fmr_low > 0 else "lower"
    else:
        told["words"] = "higher" if low > 0 else "no difference that this data could show"
    return told


def open_model(model: Path) -> Engine:
    """An engine for an ONNX file, or for a checkpoint, which is run by torch."""
    if model.suffix == ".onnx":
        return open_engine(model, threads=2)
    from train.torch_engine import TorchEngine
    from train.weights import load_network

    return TorchEngine(load_network(model))


def open_detector(bundle: Path) -> FaceDetector:
    """As the terminal has it by default."""
    engines = {
        size: open_engine(bundle / detector_file(size), threads=2) for size in DETECTOR_SIZES
    }
    return FaceDetector(engines, DetectorDefaults().min_score)


def main(argv: list[str] | None = None) -> int:
    args = commands.evaluate_parser().parse_args(argv)
    return common.run("mfsa-evaluate", lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> int:
    common.check_out(args.json, args.markdown, args.html, args.write_pairs)
    models = [_named(model) for model in args.models]
    _distinct([title for title, _ in models], "models", "name them NAME=FILE")
    material = _material(args)
    bundles = [file for _, file in models if (file / MANIFEST).is_file()]
    looked_in = args.detector or (bundles[0] if bundles else None)
    detector = open_detector(looked_in) if looked_in and not args.quick else None
    if material.pair_sets and detector is None and not args.quick:
        print("without --detector: masked faces are not looked for again", file=sys.stderr)
    done = []
    for title, model in models:  # all are opened before the first is examined, which takes minutes
        file = model / EMBEDDER if model.is_dir() else model
        engine = open_model(file)
        done.append(Examined(title, {"embedder": file_digest(file), "masks": masks.EXAM}, engine))
    for model in done:
        print(model.title, file=sys.stderr)
        examine(model, material, detector=detector, quick=args.quick)
        if args.json and model is not done[-1]:
            _write_json(args.json, [m for m in done if len(m.figures) > 2], [])
    comparisons = [compare(done[0], other) for other in done[1:]]
    print(report.text(done, comparisons))
    if args.json:
        _write_json(args.json, done, comparisons)
    if args.markdown:
        args.markdown.write_text(report.markdown(done, comparisons), encoding="utf-8")
    if args.html:
        args.html.write_text(
            report.html(done, comparisons, show_faces=args.show_faces), encoding="utf-8"
        )
        print(f"look at {args.html}")
    return common.DONE


def _write_json(path: Path, done: list[Examined], comparisons: list[dict[str, Any]]) -> None:
    """One model's figures as they are, several by name."""
    alone = (
        done[0].figures
        if len(done) == 1
        else {"models": {d.title: d.figures for d in done}, "comparisons": comparisons}
    )
    path.write_text(json.dumps(alone, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _distinct(titles: list[str], what: str, remedy: str) -> None:
    twice = {title for title in titles if titles.count(title) > 1}
    if twice:
        raise ConfigError(f"two {what} are called {', '.join(sorted(twice))}: {remedy}")


def _named(model: Path) -> tuple[str, Path]:
    """`NAME=FILE`, or a file whose folder names it best."""
    name, equals, file = str(model).partition("=")
    if equals and not model.exists():
        return name, Path(file)
    return (f"{model.parent.name}/{model.name}" if model.parent.name else model.name), model


def _pair_lists(args: argparse.Namespace) -> list[PairSet]:
    """Return the pairs of a list, or drawn pairs; raises ConfigError."""
    if args.pairs != AUTO:
        if args.write_pairs:
            raise ConfigError("--write-pairs: only with --pairs auto, which draws pairs")
        if (args.pairs is None) != (args.chips is None):
            raise ConfigError(
                "--pairs and --chips belong together: a list, and the chips it names; "
                "without a list: --pairs auto"
            )
        return [pair_sets.read_list(Path(args.pairs), args.chips)] if args.pairs else []
    sources = [args.chips] if args.chips else args.people
    if not sources or args.seed < 0:
        raise ConfigError(
            "--pairs auto: name the chips to draw from with --chips or --people, "
            f"and a --seed from 0 on, found {args.seed}"
        )
    folder = validation_chips(sources, everybody=args.everybody)
    title = f"{', '.join(source.stem for source in sources)}, pairs drawn by seed {args.seed}"
    drawn = drawn_pairs.draw_pairs(folder, title, args.seed)
    if args.write_pairs:
        drawn_pairs.write_pairs(drawn, args.write_pairs)
    return [drawn]


def _material(args: argparse.Namespace) -> Material:
    sets = _pair_lists(args)
    sets += [pair_sets.read_bin(file) for file in args.bin]
    _distinct([s.title for s in sets], "sets of pairs", "rename a file")
    folder = validation_chips(args.people, everybody=args.everybody) if args.people else None
    worn = None
    if args.real_masks:
        unmasked = validation_chips(args.real_masks, everybody=args.everybody)
        worn = (
            validation_chips(
                args.real_masks, everybody=args.everybody, real_masks=True, known=unmasked
            ),
            unmasked,
        )
    if not sets and folder is None and worn is None:
        raise ConfigError(
            "nothing to measure on: name --pairs and --chips, --bin, --people or --real-masks"
        )
    for chosen in sets:
        check_encoded(chosen.names, chosen.encoded, chosen.title)
    for people_of, option in ((folder, "--people"), (worn and worn[1], "--real-masks")):
        if people_of is not None:
            check_folder(people_of, option)
    return Material(sets, folder, worn, kept_apart=not args.everybody)


if __name__ == "__main__":
    sys.exit(main())
