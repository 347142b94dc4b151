"""Masks that nobody drew: pictures whose names begin with `m_` (a real mask is worn) or not, of the same people."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import ChipFolder
from calibration.scores import Embedded
from edge.engine import Engine

_FALSE_ALARMS = 0.01


def sit(engine: Engine, masked: ChipFolder, unmasked: ChipFolder) -> dict[str, Any]:
    """Whether masks are seen, and whether people are known with them; labels of both folders number the same people."""
    worn = scores.embed_chips(engine, len(masked), masked.chip, what="real masks")
    bare = scores.embed_chips(engine, len(unmasked), unmasked.chip, what="the same people")
    return {"mask_worn": detection(worn["mask_worn"], bare["mask_worn"]), "verification": _known(worn, bare, masked, unmasked)}


def detection(masked: NDArray[np.float32], unmasked: NDArray[np.float32]) -> dict[str, Any]:
    """Recall of masks at 1 % false alarms and at one half, with the confusion table of the latter."""
    allowed = float(np.quantile(unmasked, 1 - _FALSE_ALARMS, method="higher"))
    recall = float((masked > allowed).mean())
    return {
        "masked": len(masked),
        "unmasked": len(unmasked),
        "recall_at_1_percent_false_alarms": round(recall, 5),
        "recall_95": [round(v, 5) for v in _wilson(recall, len(masked))],
        "threshold": round(allowed, 5),
        "confusion_at_half": {
            "mask_seen_where_worn": int((masked >= 0.5).sum()),
            "no_mask_seen_where_worn": int((masked < 0.5).sum()),
            "mask_seen_where_none": int((unmasked >= 0.5).sum()),
            "no_mask_seen_where_none": int((unmasked < 0.5).sum()),
        },
    }


def _wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of E. B. Wilson, "Probable inference", 1927, for a share of independent cases."""
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return float(max(0, centre - half)), float(min(1, centre + half))


def _known(worn: scores.Outputs, bare: scores.Outputs, masked: ChipFolder, unmasked: ChipFolder) -> dict[str, Any]:
    templates = Embedded(bare["embedding"], unmasked.labels)
    probes = Embedded(worn["embedding"], masked.labels)
    _, strangers = scores.all_scores(templates, templates)
    # Every probe against every template: these are different pictures, so no pair is left out.
    found = probes.vectors @ templates.vectors.T
    own = probes.people[:, None] == templates.people[None]
    if not own.any() or len(strangers) < 1 / _FALSE_ALARMS:
        return {}
    told: dict[str, Any] = {"mated": int(own.sum()), "non_mated": int((~own).sum())}
    for fmr in (1e-2, 1e-3):
        if len(strangers) * fmr >= 1:
            threshold = metrics.threshold_at_fmr(strangers, fmr)
            told[f"at_unmasked_threshold_fmr_{fmr:g}"] = {
                "fnmr": round(1 - metrics.match_rate(found[own], threshold), 5),
                "fmr": round(metrics.match_rate(found[~own], threshold), 6),
            }
    return told
