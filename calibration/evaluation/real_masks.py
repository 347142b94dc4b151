"""Real masks: photos named `m_<image>` with a mask, and photos of the same people without."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration import metrics, scores
from calibration.chips import ChipFolder
from calibration.evaluation import comparisons
from calibration.evaluation.comparisons import ROUNDS
from calibration.metrics import bootstrap_people
from calibration.scores import LabelledEmbeddings
from edge.engine import Engine

_FALSE_ALARMS = 0.01
_MIN_FALSE_MATCHES = 5  # for a threshold


def run(engine: Engine, masked: ChipFolder, unmasked: ChipFolder) -> dict[str, Any]:
    """Measure verification and, if the network has it, mask detection.

    Both folders share labels.
    """
    worn, bare = (
        scores.embed_chips(engine, len(folder), folder.chip, what=what, optional=("mask_worn",))
        for folder, what in ((masked, "real masks"), (unmasked, "the same people"))
    )
    figures: dict[str, Any] = {"verification": _known(worn, bare, masked, unmasked)}
    if "mask_worn" in worn:
        figures["mask_worn"] = detection(
            worn["mask_worn"], bare["mask_worn"], masked.labels, unmasked.labels
        )
    return figures


def detection(
    masked: NDArray[np.float32],
    unmasked: NDArray[np.float32],
    masked_people: NDArray[np.int64],
    people: NDArray[np.int64],
) -> dict[str, Any]:
    """Measure the recall of masks at 1 % false alarms, and the confusion table at one half.

    The interval is a bootstrap over people, who may have many pictures, with a threshold per round.
    There is no recall for too few pictures.
    """
    figures: dict[str, Any] = {
        "masked": len(masked),
        "masked_people": len(np.unique(masked_people)),
        "unmasked": len(unmasked),
        "confusion_at_half": {
            "mask_seen_where_worn": int((masked >= 0.5).sum()),
            "no_mask_seen_where_worn": int((masked < 0.5).sum()),
            "mask_seen_where_none": int((unmasked >= 0.5).sum()),
            "no_mask_seen_where_none": int((unmasked < 0.5).sum()),
        },
    }
    if len(unmasked) < 1 / _FALSE_ALARMS:
        return figures
    count = int(max(masked_people.max(), people.max())) + 1
    order = np.argsort(-unmasked)
    rounds = []
    for drawn in bootstrap_people(count, ROUNDS):
        if not drawn[masked_people].any() or not drawn[people].any():
            continue
        passed = np.cumsum(drawn[people][order])
        refused = unmasked[order][
            min(
                int(np.searchsorted(passed, _FALSE_ALARMS * passed[-1], side="right")),
                len(order) - 1,
            )
        ]
        rounds.append((drawn[masked_people] @ (masked > refused)) / drawn[masked_people].sum())
    allowed = float(np.quantile(unmasked, 1 - _FALSE_ALARMS, method="higher"))
    return {
        **figures,
        "recall_at_1_percent_false_alarms": round(float((masked > allowed).mean()), 5),
        "recall_95": comparisons.interval(np.array(rounds)),
        "threshold": round(allowed, 5),
    }


def _known(
    worn: scores.Outputs, bare: scores.Outputs, masked: ChipFolder, unmasked: ChipFolder
) -> dict[str, Any]:
    templates = LabelledEmbeddings(bare["embedding"], unmasked.labels)
    strangers = comparisons.compare_all(templates, templates)
    # All pairs count: probes and templates are different pictures.
    found = worn["embedding"] @ templates.vectors.T
    own = masked.labels[:, None] == templates.labels[None]
    figures: dict[str, Any] = {"mated": int(own.sum()), "non_mated": int((~own).sum())}
    for fmr in (1e-2, 1e-3):
        if own.any() and (~own).any() and strangers.count * fmr >= _MIN_FALSE_MATCHES:
            threshold = strangers.threshold(fmr)
            figures[f"at_unmasked_threshold_fmr_{fmr:g}"] = {
                "fnmr": round(1 - metrics.match_rate(found[own], threshold), 5),
                "fmr": round(metrics.match_rate(found[~own], threshold), 6),
            }
    return figures
