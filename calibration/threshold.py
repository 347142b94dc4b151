"""`mfsa-threshold`: the scores from which a door may open, from all-vs-all comparisons of people the model never saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import ChipFolder
from calibration.scores import LabelledEmbeddings
from edge import masks
from edge.bundle import (
    MANIFEST,
    SAME_PERSON_FMR,
    Calibration,
    Manifest,
    OperatingPoint,
    file_digest,
    open_bundle,
)
from edge.chip import PREPROCESSING
from edge.engine import Engine
from edge.errors import ConfigError
from edge.system.atomic_files import write_atomic
from edge.values import Precision

FPIR_TARGET = 0.01
GALLERY_SIZES = (100, 1_000, 10_000, 100_000)


def measure_operating_point(
    probes: LabelledEmbeddings, templates: LabelledEmbeddings, target_fmr: float
) -> OperatingPoint:
    """The threshold at a target FMR with what was measured at it. Raises ConfigError where the data cannot support it."""
    threshold = threshold_at(probes, templates, target_fmr)
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


def threshold_at(probes: LabelledEmbeddings, templates: LabelledEmbeddings, fmr: float) -> float:
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
class EmbeddedFaces:
    """Embeddings of the same people bare and masked."""

    bare: LabelledEmbeddings
    masked: LabelledEmbeddings

    @classmethod
    def embed(cls, engine: Engine, chips: ChipFolder) -> EmbeddedFaces:
        """Raises ConfigError for fewer than two people, EngineError."""
        if chips.people < 2:
            raise ConfigError(f"expected chips of at least two people, found {chips.people}")
        bare = scores.embed_chips(engine, len(chips), chips.chip, what="unmasked")
        worn = scores.embed_chips(
            engine,
            len(chips),
            lambda i: masks.draw_protocol(chips.chip(i), chips.names[i])[0],
            what="masked",
        )
        return cls(
            LabelledEmbeddings(bare["embedding"], chips.labels),
            LabelledEmbeddings(worn["embedding"], chips.labels),
        )

    @property
    def people(self) -> int:
        return len(np.unique(self.bare.labels))


def calibrate(
    model: Path,
    faces: EmbeddedFaces,
    *,
    target_fmr: float,
    description: str,
    kept_apart: bool,
    fpir_target: float = FPIR_TARGET,
) -> Calibration:
    """Thresholds for unmasked probes and for probes with masks of the exam, both against unmasked templates.

    Raises ConfigError where the target needs more comparisons than there are.
    """
    unmasked_point = measure_operating_point(faces.bare, faces.bare, target_fmr)
    masked_point = measure_operating_point(faces.masked, faces.bare, target_fmr)
    worst = max(unmasked_point.fmr_upper, masked_point.fmr_upper)
    return Calibration(
        embedder=file_digest(model),
        unmasked=unmasked_point,
        masked=masked_point,
        same_person=threshold_at(faces.bare, faces.bare, max(SAME_PERSON_FMR, target_fmr)),
        kept_apart=kept_apart,
        data=description,
        people=faces.people,
        gallery_size=metrics.supported_gallery(worst, fpir_target),
        fpir_target=fpir_target,
    )


def write_thresholds(bundle: Path, precision: Precision, result: Calibration) -> None:
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


def plot_det(faces: EmbeddedFaces, result: Calibration, path: Path) -> None:
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


def _rates(values: NDArray[np.float32], thresholds: NDArray[np.floating]) -> NDArray[np.float64]:
    """The share of values at or above each threshold."""
    return 1 - np.searchsorted(np.sort(values), thresholds, side="left") / max(1, len(values))
