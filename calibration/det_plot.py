"""Detection error trade-off (DET) curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_POINTS = 400


def draw_det_curve(
    axes: Axes, mated: NDArray[np.floating], non_mated: NDArray[np.floating], **style: Any
) -> Line2D:
    """Draw FNMR over FMR and return the curve; `style` as in `Axes.plot`."""
    own, other = np.sort(mated), np.sort(non_mated)
    thresholds = np.quantile(other, 1 - np.geomspace(1 / len(other), 1, _POINTS))
    fmr = 1 - np.searchsorted(other, thresholds) / len(other)
    fnmr = np.searchsorted(own, thresholds) / max(1, len(own))
    (curve,) = axes.plot(fmr, np.maximum(fnmr, smallest_rate(len(own))), **style)
    return curve


def smallest_rate(comparisons: int) -> float:
    """Return the rate that stands for zero on a logarithmic axis."""
    return 0.5 / max(1, comparisons)


def label_det_axes(axes: Axes, title: str) -> None:
    """Set logarithmic axes with their names."""
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="false match rate (FMR)",
        ylabel="false non-match rate (FNMR)",
        title=title,
    )
    axes.grid(which="both", alpha=0.25)
    axes.legend(fontsize=7)
