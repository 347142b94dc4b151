"""Minimum of the expected similarity, below which a terminal refuses a face as hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration import occluders, scores
from calibration.chips import ChipFolder
from calibration.scores import LabelledEmbeddings
from edge import masks
from edge.engine import Engine

MATCHING_SHARE = 0.002  # of the probes that match, refused at most


@dataclass(frozen=True, slots=True, eq=False)
class HiddenProbes:
    """Probes of one kind, with bare templates of their people."""

    title: str
    probes: LabelledEmbeddings
    templates: LabelledEmbeddings
    similarity: NDArray[np.float32]  # (N,) expected similarity of the probes
    same_pictures: bool = True  # row i of both is one picture, which is not compared with itself

    def matches(self, threshold: float) -> NDArray[np.bool_]:
        """Return True (N,) for probes that match a template of their person."""
        return scores.matching_probes(
            self.probes, self.templates, threshold, same_pictures=self.same_pictures
        )

    def describe(self, threshold: float, least: float) -> str:
        """Return the shares of matching and of other probes below a minimum, for people."""
        matching, below = self.matches(threshold), self.similarity < least
        return (
            f"{self.title}: {_share(below[matching])} of {matching.sum()} that match, "
            f"{_share(below[~matching])} of {(~matching).sum()} others"
        )


def least_similarity(kinds: Sequence[HiddenProbes], threshold: float) -> float:
    """Return the minimum of the expected similarity, rounded down to two digits.

    Of each kind, at most `MATCHING_SHARE` of the probes that match are below it. It is 0, so that
    no face is refused, if no probe of a kind matches.
    """
    least = 1.0
    for kind in kinds:
        matching = kind.similarity[kind.matches(threshold)]
        found = np.quantile(matching, MATCHING_SHARE, method="lower") if len(matching) else 0.0
        least = min(least, float(found))
    return math.floor(max(0.0, least) * 100) / 100


def embed_sunglasses(
    engine: Engine, chips: ChipFolder, templates: LabelledEmbeddings
) -> HiddenProbes:
    """Embed chips with sunglasses and a mask; both by the frozen protocols."""

    def draw(i: int) -> NDArray[np.uint8]:
        name = chips.names[i]
        worn = occluders.draw_protocol(chips.chip(i), "sunglasses", name)[0]
        return masks.draw_protocol(worn, name)[0]

    shown = scores.embed_chips(
        engine, len(chips), draw, what="sunglasses and masks", keep=scores.PROBE_OUTPUTS
    )
    return HiddenProbes(
        "sunglasses and drawn masks",
        LabelledEmbeddings(shown["embedding"], chips.labels),
        templates,
        shown["expected_similarity"],
    )


def _share(below: NDArray[np.bool_]) -> str:
    return f"{below.mean():.1%}" if len(below) else "none"
