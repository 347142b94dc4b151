"""Error rates of searches, from the error rate of one comparison (ISO/IEC 19795-1)."""

from __future__ import annotations

import math

_FMR_MAX = 1 - 1e-12


def fpir(fmr: float, gallery_size: int) -> float:
    """Return the false-positive identification rate of a search: 1 - (1 - FMR)^N.

    The comparisons are taken as independent.
    """
    return -math.expm1(gallery_size * math.log1p(-min(fmr, _FMR_MAX)))
