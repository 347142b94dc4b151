"""Command `mfsa-threshold`: determine decision thresholds."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import get_args

import numpy as np

from calibration import metrics, scores
from calibration.chips import ChipFolder, validation_chips
from calibration.cli import parsers
from calibration.faces import check_folder
from calibration.hidden_faces import HiddenProbes, embed_sunglasses
from calibration.parallel_engine import open_parallel_engine
from calibration.scores import LabelledEmbeddings
from calibration.threshold import (
    FPIR_TARGET,
    GALLERY_SIZES,
    EmbeddedFaces,
    RealMasks,
    calibrate,
    plot_det,
    threshold_at,
    write_thresholds,
)
from edge.access.error_rates import fpir
from edge.bundle import (
    EMBEDDER_NETWORK,
    MANIFEST,
    Calibration,
    MaskedImpostors,
    open_bundle,
    plan_file,
)
from edge.chip import PREPROCESSING
from edge.cli import common
from edge.config import load_config
from edge.engine import Engine
from edge.engine.sidecar import PlanRequirements, read_sidecar
from edge.engine.trt import open_plan
from edge.errors import ConfigError
from edge.gallery.key import has_gallery
from edge.gallery.opening import open_gallery
from edge.recogniser.build import build_rules


def main(argv: list[str] | None = None) -> int:
    args = parsers.threshold_parser().parse_args(argv)
    return common.run("mfsa-threshold", lambda: _site(args) if args.config else _threshold(args))


def _target(args: argparse.Namespace) -> float:
    """Return the target FMR, given directly or by FPIR and gallery size; raises ConfigError."""
    if (args.fpir is None) != (args.gallery is None):
        raise ConfigError(
            "--fpir and --gallery belong together: a target rate, and a number of templates"
        )
    if args.fpir is not None:
        if args.target_fmr is not None:
            raise ConfigError("--target-fmr and --fpir exclude each other; name one of them")
        if not 0 < args.fpir < 1 or args.gallery < 1:
            raise ConfigError(
                f"expected --fpir between 0 and 1 and --gallery of 1 or more, "
                f"found {args.fpir} and {args.gallery}"
            )
        return metrics.fmr_for_fpir(args.fpir, args.gallery)
    target = parsers.TARGET_FMR if args.target_fmr is None else float(args.target_fmr)
    if not 0 < target < 1:
        raise ConfigError(f"--target-fmr: expected a rate between 0 and 1, found {target}")
    return target


def _threshold(args: argparse.Namespace) -> int:
    if args.chips is None or (args.embedder is not None and args.out is None):
        raise ConfigError(
            "--chips is required, and --out with --embedder: name the people to measure on and the "
            "output file"
        )
    if args.plan and args.bundle is None:
        raise ConfigError("--plan: only with --bundle, which holds the plan")
    common.check_output_files(args.out, args.det, args.bundle / MANIFEST if args.bundle else None)
    target = _target(args)
    model, engine = _open(args)
    chips = validation_chips(args.chips, all_identities=args.all_identities)
    check_folder(chips, "--chips")
    described = args.description or ", ".join(source.stem for source in args.chips)
    masked_photos = _real_masks(args, chips)
    faces = EmbeddedFaces.embed(engine, chips)
    real = RealMasks.embed(engine, *masked_photos) if masked_photos else None
    result = calibrate(
        model,
        faces,
        real=real,
        target_fmr=target,
        description=described,
        kept_apart=not args.all_identities,
        fpir_target=args.fpir or FPIR_TARGET,
    )
    print(_describe(result, len(chips)))
    _write(args, result)
    if args.det:
        plot_det(faces, result, args.det)
    if real is not None and real.hidden is not None:
        kinds = [*faces.hidden, real.hidden, embed_sunglasses(engine, chips, faces.bare)]
        print(_describe_hidden(result, kinds))
    else:
        print(
            "expected similarity: no face is refused as hidden; name photos of the same people "
            "with and without real masks in --real-masks"
        )
    return common.DONE


def _write(args: argparse.Namespace, result: Calibration) -> None:
    """Write the thresholds to --out and into the manifest of --bundle."""
    if args.out:
        args.out.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if args.bundle:
        write_thresholds(args.bundle, args.precision, result)
        print(
            f"written into {args.bundle / MANIFEST}; "
            "the model card still shows the earlier thresholds"
        )


def _real_masks(
    args: argparse.Namespace, chips: ChipFolder
) -> tuple[ChipFolder, ChipFolder | None] | None:
    """Return the photos with real masks and those of the same data without, or None.

    Raises ConfigError if no photo has a real mask.
    """
    if not args.real_masks:
        return None
    everyone = args.all_identities
    worn = validation_chips(
        args.real_masks, all_identities=everyone, real_masks=True, labels_of=chips
    )
    try:
        return worn, validation_chips(args.real_masks, all_identities=everyone, labels_of=worn)
    except ConfigError:  # the sources were read above: only chips without a mask can be missing
        return worn, None


def _open(args: argparse.Namespace) -> tuple[Path, Engine]:
    """Return the measured file and its engine; raises BundleError or EngineError."""
    if args.embedder:
        return args.embedder, open_parallel_engine(args.embedder)
    bundle = open_bundle(args.bundle, PREPROCESSING)
    bundle.calibration(args.precision)  # raises if there are none to replace
    if not args.plan:
        model = bundle.onnx_path(EMBEDDER_NETWORK, args.precision)
        return model, open_parallel_engine(model)
    plan, reference = (
        bundle.path / plan_file(EMBEDDER_NETWORK, args.precision),
        bundle.digest(EMBEDDER_NETWORK),
    )
    # The thresholds of the plan are measured now: accept the file that it was built from.
    own = frozenset({read_sidecar(plan).onnx})
    return plan, open_plan(plan, PlanRequirements(EMBEDDER_NETWORK, args.precision, reference, own))


def _describe_hidden(result: Calibration, kinds: Sequence[HiddenProbes]) -> str:
    least = result.min_expected_similarity
    shares = [kind.describe(result.same_person, least) for kind in kinds]
    return "\n".join(
        [f"expected similarity: faces below {least:.2f} are refused as hidden", *shares]
    )


def _describe(result: Calibration, chips: int) -> str:
    lines = [
        f"{name:12} threshold {point.threshold:.4f}: FMR {point.fmr:.1e} "
        f"(upper {point.fmr_upper:.1e}, {point.comparisons:,} comparisons), "
        f"FNMR {point.fnmr:.1%} (upper {point.fnmr_upper:.1%}, {point.mated:,} comparisons)"
        for name, point in (
            ("unmasked", result.unmasked),
            ("masked", result.masked),
            ("1:1 unmasked", result.verification.unmasked),
            ("1:1 masked", result.verification.masked),
        )
    ]
    lines += _describe_exams(result)
    worst = max(result.unmasked.fmr_upper, result.masked.fmr_upper)
    table = ", ".join(f"{fpir(worst, size):.1%} at {size:,}" for size in GALLERY_SIZES)
    lines.append(f"FPIR at the upper bound by gallery size: {table}")
    fewest = min(result.unmasked.comparisons, result.masked.comparisons)
    lines.append(
        f"the smallest FMR that {fewest:,} non-mated comparisons support: {1 / max(1, fewest):.1e}"
    )
    lines.append(
        f"{chips:,} chips of {result.people} people; supports {result.gallery_size} templates "
        f"at FPIR {result.fpir_target:.2%}"
    )
    return "\n".join(lines)


def _describe_exams(result: Calibration) -> list[str]:
    """Return a line for each exam of masked impostors; names exams with too few comparisons."""
    lines = []
    for exam in result.masked_exams:
        role = "" if exam.fixes else ", shown only"
        lines.append(
            f"masked impostors, {exam.impostors}{role}: own threshold {exam.threshold:.4f}; at "
            f"{result.masked.threshold:.4f} FMR {exam.fmr:.1e} "
            f"({exam.fmr / result.masked.target_fmr:.2g} times the target, upper "
            f"{exam.fmr_upper:.1e}, {exam.comparisons:,} comparisons, {exam.pictures:,} pictures "
            f"of {exam.people} people)"
        )
        if exam.target_fmr > result.masked.target_fmr:
            lines.append(
                f"  too few for FMR {result.masked.target_fmr:.1e}: its own threshold is for "
                f"{exam.target_fmr:.1e}, the smallest FMR that {exam.comparisons:,} comparisons "
                "support; name more people"
            )
    if result.masked_exams:
        measured = [exam.impostors for exam in result.masked_exams]
        lines += [
            f"masked impostors, {kind}: not measured, too few comparisons of different people"
            for kind in get_args(MaskedImpostors)
            if kind not in measured
        ]
    if result.masked_fixed_by is not None:
        lines.append(f"the masked threshold is fixed by: {result.masked_fixed_by}")
    return lines


def _site(args: argparse.Namespace) -> int:
    """Check the thresholds against the templates of a terminal, without writing anything."""
    if args.chips or args.real_masks or args.out or args.det or args.plan:
        raise ConfigError(
            "--config checks enrolled people only; remove --chips, --real-masks, --out, --det and "
            "--plan"
        )
    config = load_config(args.config)
    if not has_gallery(config):
        raise ConfigError(f"{config.gallery_path}: no people are enrolled; start with edge-enroll")
    opened = open_gallery(config)
    with closing(opened.store) as store:
        subjects, templates = store.load_templates()
    names = sorted(set(subjects))
    if len(names) < 2:
        raise ConfigError(
            f"{config.gallery_path}: expected at least two enrolled people, found {len(names)}"
        )
    enrolled = LabelledEmbeddings(templates, np.array([names.index(name) for name in subjects]))
    non_mated = scores.all_scores(enrolled, enrolled)[1]
    if args.target_fmr is None and args.fpir is None:
        wanted, threshold = (
            "no two of them match",
            math.ceil(float(np.nextafter(non_mated.max(), np.float32(2))) * 1e4) / 1e4,
        )
    else:
        target = _target(args)
        wanted, threshold = f"FMR is {target:.1e}", threshold_at(enrolled, enrolled, target)
    one, other = _most_alike(enrolled, subjects)
    print(
        f"{len(names)} people, {len(non_mated):,} comparisons of different people; {wanted} from "
        f"{threshold:.4f} on; highest score: {one} and {other}"
    )
    rules = build_rules(config.policy, opened.bundle.calibration(config.engine.precision))
    own = rules.for_size(len(templates)).thresholds.unmasked
    if threshold >= 1:
        raise ConfigError(
            f"{one} and {other} have the same template: one person has two names; remove one with "
            "edge-gallery remove"
        )
    if threshold > own:
        print(
            f"the terminal's threshold is {own:.4f}: raise it in {args.config} with\n"
            f"policy:\n  threshold_unmasked: {threshold:.4f}"
        )
    else:
        print(f"the terminal's threshold of {own:.4f} is stricter; nothing to do")
    return common.DONE


def _most_alike(enrolled: LabelledEmbeddings, subjects: list[str]) -> tuple[str, str]:
    """Return the two people with the highest score."""
    alike = enrolled.vectors @ enrolled.vectors.T
    alike[enrolled.labels[:, None] == enrolled.labels[None]] = -2
    one, other = np.unravel_index(int(alike.argmax()), alike.shape)
    return subjects[one], subjects[other]


if __name__ == "__main__":
    sys.exit(main())
