"""All against all of an identity folder, and open-set identification in a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import ChipFolder
from calibration.evaluation import comparisons
from calibration.evaluation.comparisons import ComparisonScores
from calibration.scores import LabelledEmbeddings
from edge import masks
from edge.engine import Engine
from edge.errors import ConfigError

FMR = 1e-3
FPIR = 0.01
_TAR_AT = (1e-3, 1e-4, 1e-5)
_MIN_FALSE_MATCHES = 5  # for a threshold
_SPLITS = 20


@dataclass(frozen=True, eq=False)
class PeopleScores:
    """Embeddings of a folder, bare and with masks of the frozen protocol."""

    clean: LabelledEmbeddings
    masked: LabelledEmbeddings
    by_condition: dict[str, ComparisonScores]
    fmr: float  # of the unmasked threshold; larger than FMR for few comparisons

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {
            "chips": len(self.clean.labels),
            "people": len(np.unique(self.clean.labels)),
            "masks": masks.PROTOCOL,
        }
        for name, compared in self.by_condition.items():
            figures[name] = {"mated": len(compared.mated), "non_mated": compared.count}
            for fmr in _TAR_AT:
                if compared.count * fmr >= _MIN_FALSE_MATCHES:
                    figures[name][f"tar_at_fmr_{fmr:g}"] = round(compared.tar(fmr), 5)
        threshold = self.by_condition["clean"].threshold(self.fmr)
        fnmr_rounds, fmr_rounds = self.headline_rounds.T
        figures["at_unmasked_threshold"] = {
            "fmr": self.fmr,
            "threshold": round(threshold, 5),
            "fnmr_masked": round(self.by_condition["one_masked"].fnmr_at(threshold), 5),
            "fnmr_masked_95": comparisons.interval(fnmr_rounds),
            "fmr_masked": round(self.by_condition["one_masked"].fmr_at(threshold), 6),
            "fmr_masked_95": comparisons.interval(fmr_rounds),
        }
        figures["identification"] = identification(self.clean, self.masked)
        return figures

    @cached_property
    def headline_rounds(self) -> NDArray[np.float64]:
        """FNMR and FMR of masked probes in each bootstrap round, see `masked_rounds`."""
        return comparisons.masked_rounds(
            self.by_condition["clean"], self.by_condition["one_masked"], self.fmr
        )


def run(engine: Engine, folder: ChipFolder) -> PeopleScores:
    """Embed and compare a folder; raises ConfigError for too few people or pictures."""
    bare = scores.embed_chips(engine, len(folder), folder.chip, what="people")
    worn = scores.embed_chips(
        engine,
        len(folder),
        lambda i: masks.draw_protocol(folder.chip(i), folder.names[i])[0],
        what="people, masked",
    )
    clean, masked = (
        LabelledEmbeddings(bare["embedding"], folder.labels),
        LabelledEmbeddings(worn["embedding"], folder.labels),
    )
    if folder.people < 2:
        raise ConfigError(f"expected at least two people, found {folder.people}")
    compared = {
        "clean": comparisons.compare_all(clean, clean),
        "one_masked": comparisons.compare_all(masked, clean),
    }
    if not len(compared["clean"].mated) or len(compared["clean"].impostors) < 2:
        raise ConfigError(
            "expected two pictures of one person and some dozens of comparisons between people"
        )
    return PeopleScores(clean, masked, compared, max(FMR, 1 / compared["clean"].count))


def identification(clean: LabelledEmbeddings, masked: LabelledEmbeddings) -> dict[str, Any]:
    """Measure open-set identification (ISO/IEC 19795-1): FNIR at an FPIR of 1 %.

    Half of the people are enrolled with one unmasked picture each. Their other pictures are mated
    probes, the pictures of the others non-mated probes. Masked probes use the same threshold. The
    result is the mean over random halves, empty for too few people.
    """
    rng = np.random.default_rng(0)
    people = np.unique(clean.labels)
    rows: list[tuple[float, float, float]] = []
    enrolled_count = len(people) // 2
    for _ in range(_SPLITS):
        enrolled = rng.permutation(people)[:enrolled_count]
        gallery = np.array([np.flatnonzero(clean.labels == person)[0] for person in enrolled])
        known = np.isin(clean.labels, enrolled)
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
    probes: LabelledEmbeddings,
    rows: NDArray[np.intp],
    gallery: NDArray[np.float32],
    enrolled: NDArray[np.int64],
    threshold: float,
) -> float:
    """Return the share of mated probes without a match or with another best match."""
    found = probes.vectors[rows] @ gallery.T
    hit = (enrolled[found.argmax(axis=1)] == probes.labels[rows]) & (found.max(axis=1) >= threshold)
    return 1 - float(hit.mean())
