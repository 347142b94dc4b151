"""`mfsa-threshold`: the scores from which a door may open, from all-vs-all comparisons of people the model never saw."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration import commands, metrics, scores
from calibration.chips import ChipFolder, validation_chips
from calibration.faces import check_folder
from calibration.scores import Embedded
from edge import masks
from edge.access import policy
from edge.bundle import (
    EMBEDDER_NETWORK,
    MANIFEST,
    SAME_PERSON_FMR,
    Calibration,
    Manifest,
    OperatingPoint,
    file_digest,
    open_bundle,
    plan_file,
)
from edge.chip import PREPROCESSING
from edge.cli import common
from edge.config import load_config
from edge.engine import Engine, open_engine
from edge.engine.sidecar import Wanted, read_sidecar
from edge.engine.trt import open_plan
from edge.errors import ConfigError
from edge.gallery.key import has_gallery, load_key_and_drop_privileges
from edge.gallery.store import open_store
from edge.recogniser.build import build_rules
from edge.system.atomic_files import write_atomic
from edge.values import Precision

FPIR_TARGET = 0.01
GALLERY_SIZES = (100, 1_000, 10_000, 100_000)


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
        threshold = math.ceil(metrics.threshold_at_fmr(non_mated, fmr) * 1e4) / 1e4
    except ValueError as error:
        least = 10.0 ** math.ceil(math.log10(1 / max(1, len(non_mated))))
        raise ConfigError(
            f"{error}; name more people, or ask for a larger one, here --target-fmr {least:g}"
        ) from error
    if threshold >= 1:
        raise ConfigError(
            "pictures of two people are the same picture; is somebody filed under two names?"
        )
    return threshold


@dataclass(frozen=True, eq=False)
class Faces:
    """Embeddings of the same people bare and masked."""

    bare: Embedded
    masked: Embedded

    @classmethod
    def of(cls, engine: Engine, chips: ChipFolder) -> Faces:
        """Raises ConfigError for fewer than two people, EngineError."""
        if chips.people < 2:
            raise ConfigError(f"expected chips of at least two people, found {chips.people}")
        bare = scores.embed_chips(engine, len(chips), chips.chip, what="unmasked")
        worn = scores.embed_chips(
            engine,
            len(chips),
            lambda i: masks.draw_exam(chips.chip(i), chips.names[i])[0],
            what="masked",
        )
        return cls(
            Embedded(bare["embedding"], chips.labels), Embedded(worn["embedding"], chips.labels)
        )

    @property
    def people(self) -> int:
        return len(np.unique(self.bare.people))


def calibrate(
    model: Path,
    faces: Faces,
    *,
    target_fmr: float,
    description: str,
    kept_apart: bool,
    fpir_target: float = FPIR_TARGET,
) -> Calibration:
    """Thresholds for unmasked probes and for probes with masks of the exam, both against unmasked templates.

    Raises ConfigError where the target needs more comparisons than there are.
    """
    unmasked_point = operating_point(faces.bare, faces.bare, target_fmr)
    masked_point = operating_point(faces.masked, faces.bare, target_fmr)
    worst = max(unmasked_point.fmr_upper, masked_point.fmr_upper)
    return Calibration(
        embedder=file_digest(model),
        unmasked=unmasked_point,
        masked=masked_point,
        same_person=_threshold_at(faces.bare, faces.bare, max(SAME_PERSON_FMR, target_fmr)),
        kept_apart=kept_apart,
        data=description,
        people=faces.people,
        gallery_size=metrics.supported_gallery(worst, fpir_target),
        fpir_target=fpir_target,
    )


def write_into(bundle: Path, precision: Precision, result: Calibration) -> None:
    """Replace the thresholds in a bundle's manifest with an atomic write."""
    manifest = open_bundle(bundle, PREPROCESSING).manifest
    if precision == "int8":
        assert manifest.int8 is not None  # its embedder was measured
        changed = manifest.model_copy(
            update={"int8": manifest.int8.model_copy(update={"calibration": result})}
        )
    else:
        changed = manifest.model_copy(update={"calibration": result})
    checked = Manifest.model_validate(changed.model_dump())
    write_atomic(bundle / MANIFEST, f"{checked.model_dump_json(indent=2)}\n".encode(), 0o644)


def plot_det(faces: Faces, result: Calibration, path: Path) -> None:
    """Detection error trade-off of unmasked and masked probes, with the thresholds that were chosen. Raises ConfigError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for name, probes, point in (
        ("unmasked", faces.bare, result.unmasked),
        ("masked", faces.masked, result.masked),
    ):
        mated, non_mated = scores.all_scores(probes, faces.bare)
        at = np.unique(np.quantile(non_mated, 1 - np.geomspace(1 / len(non_mated), 1, 400)))
        fmr, fnmr = _rates(non_mated, at), 1 - _rates(mated, at)
        least = 0.5 / max(1, len(mated))  # a logarithm shows no zero
        (line,) = axes.plot(fmr, np.maximum(fnmr, least), label=name)
        axes.plot(
            [max(point.fmr, 0.5 / len(non_mated))],
            [max(point.fnmr, least)],
            "o",
            color=line.get_color(),
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="false match rate",
        ylabel="false non-match rate",
        title="DET; dots: the thresholds",
    )
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: the plot cannot be written: {error}; name a .png file"
        ) from error


def _rates(values: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of values at or above each threshold."""
    return 1 - np.searchsorted(np.sort(values), thresholds, side="left") / max(1, len(values))


def main(argv: list[str] | None = None) -> int:
    args = commands.threshold_parser().parse_args(argv)
    return common.run("mfsa-threshold", lambda: _site(args) if args.config else _threshold(args))


def _target(args: argparse.Namespace) -> float:
    """The FMR that is asked for, by itself or by FPIR and gallery size; raises ConfigError."""
    if (args.fpir is None) != (args.gallery is None):
        raise ConfigError(
            "--fpir and --gallery belong together: a share of strangers, and how many templates they meet"
        )
    if args.fpir is not None:
        if args.target_fmr is not None:
            raise ConfigError("name either --target-fmr or --fpir with --gallery")
        if not 0 < args.fpir < 1 or args.gallery < 1:
            raise ConfigError(
                f"expected --fpir between 0 and 1 and --gallery from 1 on, found {args.fpir} and {args.gallery}"
            )
        return metrics.fmr_for(args.fpir, args.gallery)
    target = commands.TARGET_FMR if args.target_fmr is None else float(args.target_fmr)
    if not 0 < target < 1:
        raise ConfigError(f"--target-fmr: expected a rate between 0 and 1, found {target}")
    return target


def _threshold(args: argparse.Namespace) -> int:
    if args.chips is None or (args.embedder is not None and args.out is None):
        raise ConfigError(
            "name the people to measure on with --chips, and with --embedder where to write with --out"
        )
    if args.plan and args.bundle is None:
        raise ConfigError("--plan: only with --bundle, whose plan is meant")
    common.check_out(args.out, args.det, args.bundle / MANIFEST if args.bundle else None)
    target = _target(args)
    model, engine = _open(args)
    chips = validation_chips(args.chips, everybody=args.everybody)
    check_folder(chips, "--chips")
    described = args.description or ", ".join(source.stem for source in args.chips)
    faces = Faces.of(engine, chips)
    result = calibrate(
        model,
        faces,
        target_fmr=target,
        description=described,
        kept_apart=not args.everybody,
        fpir_target=args.fpir or FPIR_TARGET,
    )
    print(_told(result, len(chips)))
    if args.out:
        args.out.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if args.bundle:
        write_into(args.bundle, args.precision, result)
        print(
            f"written into {args.bundle / MANIFEST}; the model card beside it still tells those it was packed with"
        )
    if args.det:
        plot_det(faces, result, args.det)
    return common.DONE


def _open(args: argparse.Namespace) -> tuple[Path, Engine]:
    """The file that is measured, and its engine; raises BundleError or EngineError."""
    if args.embedder:
        return args.embedder, open_engine(args.embedder, threads=2)
    bundle = open_bundle(args.bundle, PREPROCESSING)
    bundle.calibration(args.precision)  # there must be some to replace
    if not args.plan:
        model = bundle.onnx_path(EMBEDDER_NETWORK, args.precision)
        return model, open_engine(model, threads=2)
    plan, reference = (
        bundle.path / plan_file(EMBEDDER_NETWORK, args.precision),
        bundle.digest(EMBEDDER_NETWORK),
    )
    # Its thresholds are about to be its own.
    own = frozenset({read_sidecar(plan).onnx})
    return plan, open_plan(plan, Wanted(EMBEDDER_NETWORK, args.precision, reference, own))


def _told(result: Calibration, chips: int) -> str:
    lines = [
        f"{name:9} threshold {point.threshold:.4f}: FMR {point.fmr:.1e} (upper {point.fmr_upper:.1e}, {point.comparisons:,} "
        f"comparisons), FNMR {point.fnmr:.1%} (upper {point.fnmr_upper:.1%}, {point.mated:,} comparisons)"
        for name, point in (("unmasked", result.unmasked), ("masked", result.masked))
    ]
    worst = max(result.unmasked.fmr_upper, result.masked.fmr_upper)
    table = ", ".join(f"{metrics.fpir(worst, size):.1%} at {size:,}" for size in GALLERY_SIZES)
    lines.append(f"FPIR at the upper bound by gallery size: {table}")
    fewest = min(result.unmasked.comparisons, result.masked.comparisons)
    lines.append(
        f"the smallest FMR that {fewest:,} non-mated comparisons support: {1 / max(1, fewest):.1e}"
    )
    lines.append(
        f"{chips:,} chips of {result.people} people; supports {result.gallery_size} templates at FPIR {result.fpir_target:.2%}"
    )
    return "\n".join(lines)


def _site(args: argparse.Namespace) -> int:
    """What the templates of a terminal say; nothing is written: the threshold is the operator's to raise. Raises ConfigError."""
    if args.chips or args.out or args.det or args.plan:
        raise ConfigError(
            "--config looks at enrolled people alone: leave --chips, --out, --det and --plan out"
        )
    config = load_config(args.config)
    bundle = open_bundle(config.bundle, PREPROCESSING)
    if not has_gallery(config):
        raise ConfigError(f"{config.gallery_path}: nobody is enrolled; begin with edge-enroll")
    store = open_store(config, bundle.model_digest, load_key_and_drop_privileges(config))
    try:
        subjects, templates = store.load()
    finally:
        store.close()
    names = sorted(set(subjects))
    if len(names) < 2:
        raise ConfigError(
            f"{config.gallery_path}: expected at least two enrolled people, found {len(names)}"
        )
    enrolled = Embedded(templates, np.array([names.index(name) for name in subjects]))
    non_mated = scores.all_scores(enrolled, enrolled)[1]
    if args.target_fmr is None and args.fpir is None:
        wanted, threshold = (
            "no two of them match",
            math.ceil(float(np.nextafter(non_mated.max(), np.float32(2))) * 1e4) / 1e4,
        )
    else:
        target = _target(args)
        wanted, threshold = f"FMR is {target:.1e}", _threshold_at(enrolled, enrolled, target)
    one, other = _most_alike(enrolled, subjects)
    print(
        f"{len(names)} people, {len(non_mated):,} comparisons of different people; {wanted} from {threshold:.4f} on; "
        f"most alike are {one} and {other}"
    )
    rules = build_rules(config.policy, bundle.calibration(config.engine.precision))
    own = policy.rules_for_size(rules, len(templates)).thresholds.unmasked
    if threshold >= 1:
        raise ConfigError(
            f"{one} and {other} have the same template: one person under two names? mend it with edge-gallery remove"
        )
    if threshold > own:
        print(
            f"the terminal's threshold is {own:.4f}: raise it in {args.config} with\npolicy:\n  threshold_unmasked: {threshold:.4f}"
        )
    else:
        print(f"the terminal's threshold of {own:.4f} is stricter; nothing to do")
    return common.DONE


def _most_alike(enrolled: Embedded, subjects: list[str]) -> tuple[str, str]:
    """The two people whose templates are nearest."""
    alike = enrolled.vectors @ enrolled.vectors.T
    alike[enrolled.people[:, None] == enrolled.people[None]] = -2
    one, other = np.unravel_index(int(alike.argmax()), alike.shape)
    return subjects[one], subjects[other]


if __name__ == "__main__":
    sys.exit(main())
