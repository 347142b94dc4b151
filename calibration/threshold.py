"""`mfsa-threshold`: the scores from which a door may open, from all-vs-all comparisons of people the model never saw."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from calibration import metrics, scores
from calibration.chips import ChipFolder, validation_chips
from calibration.scores import Embedded
from edge import masks
from edge.bundle import Calibration, OperatingPoint, file_digest
from edge.cli import common
from edge.engine import open_engine
from edge.errors import ConfigError

SAME_PERSON_FMR = 1e-2
FPIR_TARGET = 0.01
GALLERY_SIZES = (100, 1_000, 10_000, 100_000)
TARGET_FMR = 1e-5  # FPIR of 1 % at 1,000 templates


def operating_point(probes: Embedded, templates: Embedded, target_fmr: float) -> OperatingPoint:
    """The threshold at a target FMR with what was measured at it. Raises ConfigError where the data cannot support it."""
    threshold = _threshold_at(probes, templates, target_fmr)
    counts = scores.count_by_person(probes, templates, threshold)
    fmr_upper, fnmr_upper = counts.upper_bounds()
    return OperatingPoint(
        threshold=threshold,
        target_fmr=target_fmr,
        fmr=counts.fmr,
        fmr_upper=fmr_upper,
        comparisons=int(counts.non_mated.sum()),
        fnmr=counts.fnmr,
        fnmr_upper=fnmr_upper,
        mated=int(counts.mated.sum()),
    )


def _threshold_at(probes: Embedded, templates: Embedded, fmr: float) -> float:
    """Rounded up to what the manifest shows, so that what was measured is what is used."""
    _, non_mated = scores.all_scores(probes, templates)
    try:
        return math.ceil(metrics.threshold_at_fmr(non_mated, fmr) * 1e4) / 1e4
    except ValueError as error:
        raise ConfigError(f"{error}; name more people or a larger --target-fmr") from error


def calibrate(model: Path, chips: ChipFolder, *, target_fmr: float, description: str, kept_apart: bool) -> Calibration:
    """Thresholds for unmasked probes and for probes with masks of the exam, both against unmasked templates."""
    if chips.people < 2:
        raise ConfigError(f"expected chips of at least two people, found {chips.people}")
    engine = open_engine(model, kind="ort", threads=2)
    bare = scores.embed_chips(engine, len(chips), chips.chip, what="unmasked")
    worn = scores.embed_chips(engine, len(chips), lambda i: masks.draw_exam(chips.chip(i), chips.names[i])[0], what="masked")
    templates, masked = Embedded(bare["embedding"], chips.labels), Embedded(worn["embedding"], chips.labels)
    unmasked_point = operating_point(templates, templates, target_fmr)
    masked_point = operating_point(masked, templates, target_fmr)
    worst = max(unmasked_point.fmr_upper, masked_point.fmr_upper)
    return Calibration(
        embedder=file_digest(model),
        unmasked=unmasked_point,
        masked=masked_point,
        same_person=_threshold_at(templates, templates, max(SAME_PERSON_FMR, target_fmr)),
        kept_apart=kept_apart,
        data=description,
        people=chips.people,
        gallery_size=metrics.supported_gallery(worst, FPIR_TARGET),
        fpir_target=FPIR_TARGET,
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="mfsa-threshold",
        description="Fix the thresholds for unmasked and masked probes at a target FMR, with bounds by bootstrap over people "
        "and the gallery size that they support at an FPIR of 1 %.",
        epilog="example: mfsa-threshold --embedder embedder.onnx --chips faces/a.tar faces/b.tar --out thresholds.json",
    )
    parser.add_argument("--embedder", type=Path, required=True, help="ONNX file")
    parser.add_argument("--chips", type=Path, nargs="+", required=True, help=".tar files or folders of <person>/<image>, unmasked")
    parser.add_argument("--everybody", action="store_true", help="use all people, not only the tenth that training keeps apart")
    parser.add_argument("--target-fmr", type=float, default=TARGET_FMR, help="default %(default)s: FPIR 1%% at 1,000 templates")
    parser.add_argument("--description", default="", help="what the data is, for the manifest")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    return common.run("mfsa-threshold", lambda: _threshold(args))


def _threshold(args: argparse.Namespace) -> int:
    if not 0 < args.target_fmr < 1:
        raise ConfigError(f"--target-fmr: expected a rate between 0 and 1, found {args.target_fmr}")
    chips = validation_chips(args.chips, everybody=args.everybody)
    described = args.description or ", ".join(source.stem for source in args.chips)
    result = calibrate(args.embedder, chips, target_fmr=args.target_fmr, description=described, kept_apart=not args.everybody)
    args.out.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for name, point in (("unmasked", result.unmasked), ("masked", result.masked)):
        print(
            f"{name:9} threshold {point.threshold:.4f}: FMR {point.fmr:.1e} (upper {point.fmr_upper:.1e}, {point.comparisons:,} "
            f"comparisons), FNMR {point.fnmr:.1%} (upper {point.fnmr_upper:.1%}, {point.mated:,} comparisons)"
        )
    worst = max(result.unmasked.fmr_upper, result.masked.fmr_upper)
    table = ", ".join(f"{metrics.fpir(worst, size):.1%} at {size:,}" for size in GALLERY_SIZES)
    print(f"FPIR at the upper bound by gallery size: {table}")
    print(f"{len(chips):,} chips of {result.people} people; supports {result.gallery_size} templates at FPIR {FPIR_TARGET:.0%}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
