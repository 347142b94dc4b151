"""Decision thresholds from all-against-all comparisons of people that were not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import ChipFolder
from calibration.det_plot import draw_det_curve, label_det_axes, smallest_rate
from calibration.hidden_faces import HiddenProbes, least_similarity
from calibration.scores import LabelledEmbeddings
from edge import masks
from edge.bundle import (
    MANIFEST,
    SAME_PERSON_FMR,
    VERIFICATION_FMR,
    Calibration,
    ImpostorExam,
    Manifest,
    MaskedImpostors,
    OperatingPoint,
    VerificationPoints,
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
    """Return the threshold at a target FMR with its error rates.

    Raises ConfigError if the data has too few comparisons.
    """
    return operating_point_at(
        probes, templates, threshold_at(probes, templates, target_fmr), target_fmr
    )


def operating_point_at(
    probes: LabelledEmbeddings, templates: LabelledEmbeddings, threshold: float, target_fmr: float
) -> OperatingPoint:
    """Return the error rates at a threshold."""
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
    """Return the threshold of all comparisons at an FMR, see `threshold_of`."""
    return threshold_of(scores.all_scores(probes, templates)[1], fmr)


def threshold_of(non_mated: NDArray[np.float32], fmr: float) -> float:
    """Return the threshold at an FMR, rounded up to the four digits of the manifest.

    Raises ConfigError for too few scores, or a score of 1.
    """
    try:
        threshold = math.ceil(metrics.threshold_at_fmr(non_mated, fmr) * 1e4) / 1e4
    except ValueError as error:
        least = 10.0 ** math.ceil(math.log10(1 / max(1, len(non_mated))))
        raise ConfigError(
            f"{error}; name more people, or a larger --target-fmr, here {least:g}"
        ) from error
    if threshold >= 1:
        raise ConfigError(
            "two people have the same picture: one person has two names; merge the folders"
        )
    return threshold


@dataclass(frozen=True, eq=False)
class EmbeddedFaces:
    """Embeddings of the same people, bare and masked."""

    bare: LabelledEmbeddings
    masked: LabelledEmbeddings
    bare_similarity: NDArray[np.float32]  # (N,) expected similarity of the bare chips
    masked_similarity: NDArray[np.float32]  # (N,)

    @classmethod
    def embed(cls, engine: Engine, chips: ChipFolder) -> EmbeddedFaces:
        """Embed chips bare and masked; raises ConfigError for one person only, EngineError."""
        if chips.people < 2:
            raise ConfigError(f"expected chips of at least two people, found {chips.people}")
        bare = scores.embed_chips(
            engine, len(chips), chips.chip, what="unmasked", keep=scores.PROBE_OUTPUTS
        )
        worn = scores.embed_chips(
            engine,
            len(chips),
            lambda i: masks.draw_protocol(chips.chip(i), chips.names[i])[0],
            what="masked",
            keep=scores.PROBE_OUTPUTS,
        )
        return cls(
            LabelledEmbeddings(bare["embedding"], chips.labels),
            LabelledEmbeddings(worn["embedding"], chips.labels),
            bare["expected_similarity"],
            worn["expected_similarity"],
        )

    @property
    def people(self) -> int:
        return len(np.unique(self.bare.labels))

    @property
    def hidden(self) -> list[HiddenProbes]:
        """Bare and masked chips as probes of the minimum of the expected similarity."""
        return [
            HiddenProbes(title, probes, self.bare, similarity)
            for title, probes, similarity in (
                ("unmasked", self.bare, self.bare_similarity),
                ("drawn masks", self.masked, self.masked_similarity),
            )
        ]


@dataclass(frozen=True, eq=False)
class RealMasks:
    """Embeddings of photos with real masks, and of the same people without."""

    worn: LabelledEmbeddings
    worn_similarity: NDArray[np.float32]  # (N,) expected similarity
    bare: LabelledEmbeddings | None  # None: no photo without a mask

    @classmethod
    def embed(cls, engine: Engine, worn: ChipFolder, bare: ChipFolder | None) -> RealMasks:
        """Embed both folders, which share their labels with each other; raises EngineError."""
        shown = scores.embed_chips(
            engine, len(worn), worn.chip, what="real masks", keep=scores.PROBE_OUTPUTS
        )
        templates = None
        if bare is not None:
            outputs = scores.embed_chips(engine, len(bare), bare.chip, what="the same people")
            templates = LabelledEmbeddings(outputs["embedding"], bare.labels)
        return cls(
            LabelledEmbeddings(shown["embedding"], worn.labels),
            shown["expected_similarity"],
            templates,
        )

    @property
    def hidden(self) -> HiddenProbes | None:
        """Photos with real masks as probes of the minimum of the expected similarity."""
        if self.bare is None:
            return None
        return HiddenProbes(
            "real masks", self.worn, self.bare, self.worn_similarity, same_pictures=False
        )


@dataclass(frozen=True, eq=False)
class ImpostorComparison:
    """Masked probes and the templates of one exam of masked impostors."""

    impostors: MaskedImpostors
    probes: LabelledEmbeddings
    templates: LabelledEmbeddings
    fixes: bool
    same_pictures: bool = True

    @cached_property
    def _non_mated(self) -> NDArray[np.float32]:
        """Scores of different people; several targets read them."""
        return scores.all_scores(self.probes, self.templates, same_pictures=self.same_pictures)[1]

    def threshold(self, target_fmr: float) -> tuple[float, float]:
        """Return the threshold and its FMR: the target, or the smallest that the data supports."""
        non_mated = self._non_mated
        if len(non_mated) < 2:
            raise ConfigError(
                f"{self.impostors} impostors: expected at least 2 comparisons of different "
                f"people, found {len(non_mated)}; name more people"
            )
        supported = max(target_fmr, 1 / len(non_mated))
        return threshold_of(non_mated, supported), supported

    def measure(self, masked_threshold: float, own: float, supported: float) -> ImpostorExam:
        """Measure the exam at the masked threshold; `own` and `supported` are of `threshold`."""
        counts = scores.count_by_person(
            self.probes, self.templates, masked_threshold, same_pictures=self.same_pictures
        )
        return ImpostorExam(
            impostors=self.impostors,
            fixes=self.fixes,
            target_fmr=supported,
            threshold=own,
            fmr=counts.fmr,
            fmr_upper=counts.upper_bounds()[0],
            comparisons=int(counts.non_mated.sum()),
            pictures=len(self.probes.labels),
            people=len(np.unique(self.probes.labels)),
        )


def masked_comparisons(faces: EmbeddedFaces, real: RealMasks) -> list[ImpostorComparison]:
    """Return the exams of masked impostors.

    Templates are enrolled unmasked: masked pairs are measured but fix nothing. The same holds for
    real masks against templates of their own data, where a wrong label is a mated comparison.
    """
    exams = [
        ImpostorComparison("drawn", faces.masked, faces.bare, fixes=True),
        ImpostorComparison("real", real.worn, faces.bare, fixes=True, same_pictures=False),
    ]
    if real.bare is not None:
        exams.append(
            ImpostorComparison(
                "real-own-data", real.worn, real.bare, fixes=False, same_pictures=False
            )
        )
    exams.append(ImpostorComparison("masked-pairs", faces.masked, faces.masked, fixes=False))
    return exams


def _own_thresholds(
    compared: Sequence[ImpostorComparison], target_fmr: float
) -> dict[MaskedImpostors, tuple[float, float]]:
    """Return `ImpostorComparison.threshold` of each exam.

    Exams that fix nothing are left out if they cannot be measured; the others raise ConfigError.
    """
    own = {}
    for comparison in compared:
        try:
            own[comparison.impostors] = comparison.threshold(target_fmr)
        except ConfigError:
            if comparison.fixes:
                raise
    return own


def _measure_masked(
    faces: EmbeddedFaces, compared: Sequence[ImpostorComparison], target_fmr: float
) -> tuple[OperatingPoint, MaskedImpostors | None, dict[MaskedImpostors, tuple[float, float]]]:
    """Return the masked operating point, the exam that fixes it, and `_own_thresholds`.

    Without exams the drawn masks fix it.
    """
    point = measure_operating_point(faces.masked, faces.bare, target_fmr)
    if not compared:
        return point, None, {}
    own = _own_thresholds(compared, target_fmr)
    highest, fixed_by = max(
        ((own[c.impostors][0], c.impostors) for c in compared if c.fixes),
        key=lambda found: found[0],
    )
    return _raise_threshold(point, faces, highest), fixed_by, own


def _measure_verification(
    faces: EmbeddedFaces, compared: Sequence[ImpostorComparison], target_fmr: float
) -> VerificationPoints:
    """Return the operating points of 1:1 comparisons; never above those of searches."""
    fmr = max(VERIFICATION_FMR, target_fmr)
    fixing = [comparison for comparison in compared if comparison.fixes]
    return VerificationPoints(
        unmasked=measure_operating_point(faces.bare, faces.bare, fmr),
        masked=_measure_masked(faces, fixing, fmr)[0],
    )


def _raise_threshold(
    point: OperatingPoint, faces: EmbeddedFaces, threshold: float
) -> OperatingPoint:
    """Return the rates of drawn masks at a higher threshold.

    The bound of the lower threshold remains valid, and is kept if it is smaller: without any
    false match the bound is the rule of three over pairs of people.
    """
    raised = operating_point_at(faces.masked, faces.bare, threshold, point.target_fmr)
    return raised.model_copy(update={"fmr_upper": min(raised.fmr_upper, point.fmr_upper)})


def calibrate(
    model: Path,
    faces: EmbeddedFaces,
    *,
    real: RealMasks | None = None,
    target_fmr: float,
    description: str,
    kept_apart: bool,
    fpir_target: float = FPIR_TARGET,
) -> Calibration:
    """Return thresholds for unmasked and masked probes, both against unmasked templates.

    With `real`, the masked threshold is the highest of all exams that fix it. The gallery size
    rests on the unmasked and drawn probes: real masks are of too few people for its bound. Without
    `real` no face is refused as hidden: a network may expect less of real masks than of drawn ones.
    Raises ConfigError if the target needs more comparisons.
    """
    unmasked_point = measure_operating_point(faces.bare, faces.bare, target_fmr)
    compared = [] if real is None else masked_comparisons(faces, real)
    masked_point, fixed_by, own = _measure_masked(faces, compared, target_fmr)
    exams = tuple(
        c.measure(masked_point.threshold, *own[c.impostors]) for c in compared if c.impostors in own
    )
    hidden = None if real is None else real.hidden
    same_person = threshold_at(faces.bare, faces.bare, max(SAME_PERSON_FMR, target_fmr))
    worst = max(unmasked_point.fmr_upper, masked_point.fmr_upper)
    return Calibration(
        embedder=file_digest(model),
        unmasked=unmasked_point,
        masked=masked_point,
        verification=_measure_verification(faces, compared, target_fmr),
        masked_exams=exams,
        masked_fixed_by=fixed_by,
        same_person=same_person,
        min_expected_similarity=0.0
        if hidden is None
        # Several templates and frames give a face more than one chance: a looser match counts.
        else least_similarity([*faces.hidden, hidden], same_person),
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
    """Plot the DET curves of unmasked and masked probes; dots mark the thresholds.

    Raises ConfigError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for name, probes, point in (
        ("unmasked", faces.bare, result.unmasked),
        ("masked", faces.masked, result.masked),
    ):
        mated, non_mated = scores.all_scores(probes, faces.bare)
        curve = draw_det_curve(axes, mated, non_mated, label=name)
        fmr = max(point.fmr, smallest_rate(len(non_mated)))
        fnmr = max(point.fnmr, smallest_rate(len(mated)))
        axes.plot([fmr], [fnmr], "o", color=curve.get_color())
    label_det_axes(axes, "DET; dots: the thresholds")
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: the plot cannot be written: {error}; name a .png file"
        ) from error
