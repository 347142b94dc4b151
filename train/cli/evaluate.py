"""Command `mfsa-evaluate`: measure embedders."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.chips import validation_chips
from calibration.evaluation import (
    drawn_pairs,
    pair_sets,
    report,
)
from calibration.evaluation.pair_sets import PairSet
from calibration.evaluation.results import (
    EvaluationData,
    ModelEvaluation,
    compare_models,
    evaluate_model,
)
from calibration.faces import check_encoded, check_folder
from calibration.parallel_engine import open_parallel_engine
from edge import masks
from edge.bundle import DETECTOR_SIZES, EMBEDDER, EXPLANATION, MANIFEST, detector_file, file_digest
from edge.cli import common
from edge.config.recognition import DetectorConfig
from edge.engine import Engine, open_engine
from edge.errors import ConfigError
from edge.face.detect import FaceDetector, open_detector
from edge.face.explanation import Explainer
from train.cli import parsers

AUTO = "auto"


class OnnxModel:
    """Engine of an ONNX file; if it has one output, of any name, that is the embedding (N,D)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        outputs = self._engine.run(batch)
        if len(outputs) > 1:
            return outputs
        (embedding,) = outputs.values()
        return {"embedding": embedding.reshape(len(batch), -1)}

    def close(self) -> None:
        self._engine.close()


def open_model(model: Path) -> Engine:
    """Return the engine of an ONNX file, or of a checkpoint, which torch runs.

    An ONNX file with one output is an encoder that takes the input of this project, such as
    encoder.onnx of mfsa-adapt.
    """
    if model.suffix == ".onnx":
        return OnnxModel(open_parallel_engine(model))
    from train.torch_engine import TorchEngine
    from train.weights import load_network

    return TorchEngine(load_network(model))


def _open_default_detector(bundle: Path) -> FaceDetector:
    """Open the detector of a bundle with the terminal's default settings."""
    models = {size: bundle / detector_file(size) for size in DETECTOR_SIZES}
    return open_detector(models, min_score=DetectorConfig().min_score, threads=2)


def _open_explainer(model: Path) -> Explainer | None:
    """Open the explanation of a bundle folder; None for other models."""
    path = model / EXPLANATION
    return Explainer(open_engine(path, threads=2)) if path.is_file() else None


def main(argv: list[str] | None = None) -> int:
    args = parsers.evaluate_parser().parse_args(argv)
    return common.run("mfsa-evaluate", lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> int:
    common.check_output_files(args.json, args.markdown, args.html, args.write_pairs)
    models = [_named(model) for model in args.models]
    _distinct([title for title, _ in models], "models", "name them NAME=FILE")
    material = _material(args)
    bundles = [file for _, file in models if (file / MANIFEST).is_file()]
    looked_in = args.detector or (bundles[0] if bundles else None)
    detector = _open_default_detector(looked_in) if looked_in and not args.quick else None
    if material.pair_sets and detector is None and not args.quick:
        print("without --detector: masked faces are not detected again", file=sys.stderr)
    done = []
    for title, model in models:  # all are opened before the first is examined, which takes minutes
        file = model / EMBEDDER if model.is_dir() else model
        engine = open_model(file)
        done.append(
            ModelEvaluation(
                title,
                {"embedder": file_digest(file), "masks": masks.PROTOCOL},
                engine,
                _open_explainer(model),
            )
        )
    for evaluation in done:
        print(evaluation.title, file=sys.stderr)
        evaluate_model(evaluation, material, detector=detector, quick=args.quick)
        if args.json and evaluation is not done[-1]:
            _write_json(args.json, [m for m in done if len(m.figures) > 2], [])
    comparisons = [compare_models(done[0], other) for other in done[1:]]
    print(report.text(done, comparisons))
    if args.json:
        _write_json(args.json, done, comparisons)
    if args.markdown:
        args.markdown.write_text(report.markdown(done, comparisons), encoding="utf-8")
    if args.html:
        args.html.write_text(
            report.render_page(done, comparisons, show_faces=args.show_faces), encoding="utf-8"
        )
        print(f"report: {args.html}")
    return common.DONE


def _write_json(path: Path, done: list[ModelEvaluation], comparisons: list[dict[str, Any]]) -> None:
    """Write the figures of one model, or of several models by name."""
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
    """Return name and file of `NAME=FILE`, or of a file that is named after its folder."""
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
    folder = validation_chips(sources, all_identities=args.all_identities)
    title = f"{', '.join(source.stem for source in sources)}, pairs drawn by seed {args.seed}"
    drawn = drawn_pairs.draw_pairs(folder, title, args.seed)
    if args.write_pairs:
        drawn_pairs.write_pairs(drawn, args.write_pairs)
    return [drawn]


def _material(args: argparse.Namespace) -> EvaluationData:
    sets = _pair_lists(args)
    sets += [pair_sets.read_bin(file) for file in args.bin]
    _distinct([s.title for s in sets], "sets of pairs", "rename a file")
    folder = (
        validation_chips(args.people, all_identities=args.all_identities) if args.people else None
    )
    worn = None
    if args.real_masks:
        unmasked = validation_chips(args.real_masks, all_identities=args.all_identities)
        worn = (
            validation_chips(
                args.real_masks,
                all_identities=args.all_identities,
                real_masks=True,
                labels_of=unmasked,
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
    return EvaluationData(sets, folder, worn, kept_apart=not args.all_identities)


if __name__ == "__main__":
    sys.exit(main())
