"""Scaling of a model's match thresholds with the size of the gallery. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.access import error_rates
from edge.values import Thresholds


@dataclass(frozen=True, slots=True)
class ThresholdScaling:
    """Rise of a model's thresholds with the number of templates, at a constant FPIR.

    A search of N comparisons at FMR f/N has the FPIR of one comparison at FMR f. Thresholds of so
    small an FMR were not measured. They are read off the straight line of score over log10(FMR)
    through two measured points: FMR 1e-2 and the FMR of the model's threshold. The line is on the
    strict side if each further decade of FMR costs less score than the previous one; see
    docs/decision.md for the measurements.
    """

    base: Thresholds  # thresholds of the model
    supported_templates: int  # up to this number the base thresholds hold
    score_per_decade: float  # rise of the score while the FMR falls to a tenth
    fmr: float  # upper bound of the FMR at `base`, the larger of the two

    def rise(self, templates: int) -> float:
        """Return what is added to the base thresholds for a number of templates."""
        ratio = max(1, templates) / max(1, self.supported_templates)
        return self.score_per_decade * max(0.0, math.log10(ratio))

    def scale(self, thresholds: Thresholds, templates: int) -> Thresholds:
        """Return thresholds for a number of templates: never below `thresholds`, at most 1."""
        if templates <= self.supported_templates:
            return thresholds
        rise = self.rise(templates)
        return Thresholds(
            max(thresholds.unmasked, min(1.0, self.base.unmasked + rise)),
            max(thresholds.masked, min(1.0, self.base.masked + rise)),
        )

    def fmr_at(self, thresholds: Thresholds) -> float:
        """Return the upper bound of the FMR at some thresholds, the larger of the two."""
        above = min(thresholds.unmasked - self.base.unmasked, thresholds.masked - self.base.masked)
        return self.fmr * 10 ** -(above / self.score_per_decade)

    def fpir(self, thresholds: Thresholds, templates: int) -> float:
        """Return the upper bound of the FPIR of one frame in a gallery of some templates.

        Comparisons count as independent, each at the upper bound of its FMR.
        """
        fmr = self.fmr_at(thresholds)
        return error_rates.fpir(fmr, templates)
