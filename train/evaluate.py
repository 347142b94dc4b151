"""`mfsa-evaluate`: verification on a list of pairs, with and without the frozen exam's masks."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import decode, read_chips
from edge import masks
from edge.bundle import EMBEDDER, file_digest
from edge.cli import common
from edge.engine import Engine, open_engine
from edge.errors import ConfigError

_TAR_AT = (1e-2, 1e-3)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs in the list's order, as rows of the distinct images they name."""

    names: list[str]  # <identity>/<image>
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    mated: NDArray[np.bool_]


def read_pairs(path: Path) -> Pairs:
    """LFW's format: a line `folds pairs`, then `name i j` for mated and `name i name j` for non-mated pairs."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the list of pairs: {error.strerror}") from error
    rows: dict[str, int] = {}
    first, second, mated = [], [], []
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if number == 1 and all(p.isdigit() for p in parts):
            continue
        if len(parts) == 3:
            parts = [parts[0], parts[1], parts[0], parts[2]]
        if len(parts) != 4 or not (parts[1].isdigit() and parts[3].isdigit()):
            raise ConfigError(f"{path}:{number}: expected `name i j` or `name i name j`, found {line[:60]!r}")
        for person, image, rows_of in ((parts[0], parts[1], first), (parts[2], parts[3], second)):
            name = f"{person}/{person}_{int(image):04d}.jpg"
            rows_of.append(rows.setdefault(name, len(rows)))
        mated.append(parts[0] == parts[2])
    if not mated:
        raise ConfigError(f"{path}: no pairs in it")
    return Pairs(list(rows), np.array(first), np.array(second), np.array(mated))


def verification(score: NDArray[np.float32], mated: NDArray[np.bool_]) -> dict[str, float]:
    """Ten-fold accuracy, equal error rate and TAR at fixed FMR of one list of scores."""
    accuracy, deviation = metrics.ten_fold_accuracy(score, mated)
    figures = {
        "accuracy": accuracy,
        "accuracy_std": deviation,
        "eer": metrics.equal_error_rate(score[mated], score[~mated]),
    }
    for fmr in _TAR_AT:
        figures[f"tar_at_fmr_{fmr:g}"] = metrics.match_rate(score[mated], metrics.threshold_at_fmr(score[~mated], fmr))
    return {name: round(value, 5) for name, value in figures.items()}


def evaluate(engine: Engine, pairs: Pairs, chips: Path) -> dict[str, Any]:
    """All figures of one embedder; one embedding per chip, no flipping. Raises ConfigError where images are missing."""
    mated = pairs.mated
    needed = round(1 / min(_TAR_AT))
    if np.count_nonzero(~mated) < needed or not mated.any():
        raise ConfigError(f"FMR {min(_TAR_AT):g} needs at least {needed:,} non-mated pairs and some mated ones; name a longer list")
    encoded = dict(read_chips(chips))
    missing = [name for name in pairs.names if name not in encoded]
    if missing:
        raise ConfigError(f"{chips}: {len(missing)} images of the pairs are missing, the first is {missing[0]}")

    def clean(i: int) -> NDArray[np.uint8]:
        return decode(encoded[pairs.names[i]], pairs.names[i])

    def masked(i: int) -> NDArray[np.uint8]:
        return masks.draw(clean(i), masks.exam_style(pairs.names[i]))[0]

    bare = scores.embed_chips(engine, len(pairs.names), clean, what="clean")
    worn = scores.embed_chips(engine, len(pairs.names), masked, what="masked")
    a, b = pairs.first, pairs.second
    score = {
        "clean": (bare["embedding"][a] * bare["embedding"][b]).sum(axis=1),
        "one_masked": (bare["embedding"][a] * worn["embedding"][b]).sum(axis=1),
        "both_masked": (worn["embedding"][a] * worn["embedding"][b]).sum(axis=1),
    }
    threshold = metrics.threshold_at_fmr(score["clean"][~mated], min(_TAR_AT))
    return {
        "pairs": len(mated),
        "masks": masks.EXAM,
        **{name: verification(values, mated) for name, values in score.items()},
        "at_unmasked_threshold_fmr_1e-3": {
            "threshold": round(threshold, 5),
            "fnmr_unmasked": round(1 - metrics.match_rate(score["clean"][mated], threshold), 5),
            "fnmr_masked": round(1 - metrics.match_rate(score["one_masked"][mated], threshold), 5),
            "fmr_masked": round(metrics.match_rate(score["one_masked"][~mated], threshold), 5),
        },
        "mask_worn": {
            "right_on_clean": round(float((bare["mask_worn"] < 0.5).mean()), 5),
            "right_on_drawn": round(float((worn["mask_worn"] >= 0.5).mean()), 5),
        },
    }


def open_model(model: Path) -> Engine:
    """An engine for an ONNX file, or for a checkpoint, which is run by torch."""
    if model.suffix == ".onnx":
        return open_engine(model, kind="ort", threads=2)
    from train.torch_engine import TorchEngine
    from train.weights import load_network

    return TorchEngine(load_network(model))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="mfsa-evaluate",
        description="Verification figures of embedders on a list of pairs: clean, one masked (the door's case), both masked.",
        epilog="example: mfsa-evaluate embedder.onnx --pairs lfw_pairs.txt --chips chips/lfw_pairs.tar --json accuracy.json",
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="model", help="ONNX file, bundle folder, or checkpoint")
    parser.add_argument("--pairs", type=Path, required=True, help="list in LFW's format")
    parser.add_argument("--chips", type=Path, required=True, help=".tar file or folder of aligned chips")
    parser.add_argument("--json", type=Path, help="write all figures there")
    args = parser.parse_args(argv)
    return common.run("mfsa-evaluate", lambda: _evaluate(args))


def _evaluate(args: argparse.Namespace) -> int:
    pairs = read_pairs(args.pairs)
    results = {}
    for model in args.models:
        file = model / EMBEDDER if model.is_dir() else model
        results[str(model)] = {
            "embedder": file_digest(file) if file.is_file() else "",
            "list": args.pairs.name,
            **evaluate(open_model(file), pairs, args.chips),
        }
    for model, result in results.items():
        print(f"{model} on {result['pairs']:,} pairs of {result['list']}, masks {result['masks']}")
        print(f"  {'':12}{'10-fold':>9}{'EER':>8}{'TAR@1e-2':>10}{'TAR@1e-3':>10}")
        for name in ("clean", "one_masked", "both_masked"):
            row = result[name]
            print(
                f"  {name:12}{row['accuracy']:9.2%}{row['eer']:8.2%}{row['tar_at_fmr_0.01']:10.2%}{row['tar_at_fmr_0.001']:10.2%}"
            )
        fixed = result["at_unmasked_threshold_fmr_1e-3"]
        print(
            f"  at the unmasked threshold {fixed['threshold']:.4f} (FMR 1e-3): FNMR unmasked {fixed['fnmr_unmasked']:.2%}, "
            f"masked {fixed['fnmr_masked']:.2%}, with masked FMR {fixed['fmr_masked']:.2%}"
        )
        seen = result["mask_worn"]
        print(f"  mask-worn right on clean {seen['right_on_clean']:.2%}, on drawn masks {seen['right_on_drawn']:.2%}")
    if args.json:
        only = next(iter(results.values())) if len(results) == 1 else results
        args.json.write_text(json.dumps(only, indent=2) + "\n", encoding="utf-8")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
