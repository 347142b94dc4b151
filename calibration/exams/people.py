"""All against all of an identity folder, and the door's own question: who of a gallery is this, if anybody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import ChipFolder
from calibration.metrics import PersonCounts
from calibration.scores import Embedded
from edge import masks
from edge.engine import Engine
from edge.errors import ConfigError

FMR = 1e-3
FPIR = 0.01
_TAR_AT = (1e-3, 1e-4, 1e-5)
_SPLITS = 20


@dataclass(frozen=True, eq=False)
class PeopleScores:
    """Embeddings of a folder, without and with a mask of the frozen exam."""

    clean: Embedded
    masked: Embedded
    fmr: float  # at which the unmasked threshold is fixed; larger than asked where there are too few comparisons
    threshold: float
    counts: PersonCounts  # of masked probes at that threshold

    def figures(self) -> dict[str, Any]:
        told: dict[str, Any] = {"chips": len(self.clean.people), "people": len(np.unique(self.clean.people)), "masks": masks.EXAM}
        for name, probes in (("clean", self.clean), ("one_masked", self.masked)):
            mated, non_mated = scores.all_scores(probes, self.clean)
            told[name] = {"mated": len(mated), "non_mated": len(non_mated)}
            for fmr in _TAR_AT:
                if len(non_mated) * fmr >= 1:
                    rate = metrics.match_rate(mated, metrics.threshold_at_fmr(non_mated, fmr))
                    told[name][f"tar_at_fmr_{fmr:g}"] = round(rate, 5)
        low, high = np.quantile(self.counts.fnmr_rounds(), (0.025, 0.975))
        told["at_unmasked_threshold"] = {
            "fmr": self.fmr,
            "threshold": round(self.threshold, 5),
            "fnmr_masked": round(self.counts.fnmr, 5),
            "fnmr_masked_95": [round(float(low), 5), round(float(high), 5)],
            "fmr_masked": round(self.counts.fmr, 6),
        }
        told["identification"] = identification(self.clean, self.masked)
        return told


def sit(engine: Engine, folder: ChipFolder) -> PeopleScores:
    """Raises ConfigError where there are not two pictures of anybody or not two people."""
    bare = scores.embed_chips(engine, len(folder), folder.chip, what="people")
    worn = scores.embed_chips(
        engine, len(folder), lambda i: masks.draw(folder.chip(i), masks.exam_style(folder.names[i]))[0], what="people, masked"
    )
    clean, masked = Embedded(bare["embedding"], folder.labels), Embedded(worn["embedding"], folder.labels)
    mated, non_mated = scores.all_scores(clean, clean)
    if not len(mated) or not len(non_mated):
        raise ConfigError("expected at least two people, one of them with two pictures")
    fmr = max(FMR, 1 / len(non_mated))
    threshold = metrics.threshold_at_fmr(non_mated, fmr)
    return PeopleScores(clean, masked, fmr, threshold, scores.count_by_person(masked, clean, threshold))


def identification(clean: Embedded, masked: Embedded) -> dict[str, Any]:
    """Open-set searches (ISO/IEC 19795-1): FNIR at an FPIR of 1 %, and what masked probes get at the same threshold.

    Half of the people are enrolled with one unmasked picture each; their other pictures are mated probes, all pictures
    of the others are non-mated ones. Mean over random halves. Empty where there are too few people.
    """
    rng = np.random.default_rng(0)
    people = np.unique(clean.people)
    rows: list[tuple[float, float, float]] = []
    enrolled_count = len(people) // 2
    for _ in range(_SPLITS):
        enrolled = rng.permutation(people)[:enrolled_count]
        gallery = np.array([np.flatnonzero(clean.people == person)[0] for person in enrolled])
        known = np.isin(clean.people, enrolled)
        mated, strangers = np.setdiff1d(np.flatnonzero(known), gallery), np.flatnonzero(~known)
        if len(mated) < 10 or len(strangers) * FPIR < 1:
            return {}
        best = (clean.vectors[strangers] @ clean.vectors[gallery].T).max(axis=1)
        threshold = metrics.threshold_at_fmr(best, FPIR)
        masked_best = (masked.vectors[strangers] @ clean.vectors[gallery].T).max(axis=1)
        rows.append(
            (
                _missed(clean, mated, clean.vectors[gallery], enrolled, threshold),
                _missed(masked, mated, clean.vectors[gallery], enrolled, threshold),
                metrics.match_rate(masked_best, threshold),
            )
        )
    unmasked, worn, masked_fpir = np.array(rows).T
    return {
        "fpir": FPIR,
        "gallery": enrolled_count,
        "halves": _SPLITS,
        "fnir": round(float(unmasked.mean()), 5),
        "fnir_std": round(float(unmasked.std()), 5),
        "fnir_masked": round(float(worn.mean()), 5),
        "fnir_masked_std": round(float(worn.std()), 5),
        "fpir_masked": round(float(masked_fpir.mean()), 5),
    }


def _missed(
    probes: Embedded, rows: NDArray[np.intp], gallery: NDArray[np.float32], enrolled: NDArray[np.int64], threshold: float
) -> float:
    """The share of mated probes whose own template is not on top, or not above the threshold."""
    found = probes.vectors[rows] @ gallery.T
    hit = (enrolled[found.argmax(axis=1)] == probes.people[rows]) & (found.max(axis=1) >= threshold)
    return 1 - float(hit.mean())
