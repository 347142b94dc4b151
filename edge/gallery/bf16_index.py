"""Scores of every template at once in bfloat16, by numkong's kernel for this processor: half of what is read, and a proven bound.

A number that is rounded to bfloat16 is wrong by 2^-8 of itself at most. So with x' and q' in place of x and q, by Cauchy-Schwarz,
|x.q - x'.q'| <= (2 * 2^-8 + 2^-16) |x| |q|. What summing in float32 adds, in whatever order: N. Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 3.1.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numkong import PackedMatrix

BLOCK = 4096  # rows that are packed together: a change costs that many
UNIT_ERROR = 1e-3  # how far from 1 the norm of a row may lie
_BFLOAT16 = 2 * 2.0**-8 + 2.0**-16
_FLOAT32 = 2.0**-24
_TINY = 1e-6  # for numbers too small to have all their digits, and for what is rounded where scores are compared

Rows = NDArray[np.float32]


class Bf16Index:
    """Rows (N,D) of unit norm in bfloat16, packed block by block. Raises ImportError where numkong is not installed."""

    def __init__(self) -> None:
        import numkong

        self._numkong = numkong
        self._blocks: list[PackedMatrix] = []

    def update(self, rows: Rows, changed: Collection[int]) -> None:
        """Take over rows of which some blocks changed; those beyond the last one known are new, those without rows go."""
        count = -(-len(rows) // BLOCK)
        del self._blocks[count:]
        for block in sorted({*changed, *range(len(self._blocks), count)}):
            if block < count:
                rounded = self._numkong.astype(rows[block * BLOCK : (block + 1) * BLOCK], "bf16")
                self._blocks[block : block + 1] = [self._numkong.dots_pack(rounded)]
                np.asarray(memoryview(rounded))[:] = (
                    0  # given back; what was packed before cannot be reached
                )

    def scores(self, queries: Rows) -> NDArray[np.float32]:
        """Of queries (B,D): (B,N), the caller's to change."""
        rounded = self._numkong.astype(queries, "bf16")
        return np.concatenate(
            [np.asarray(self._numkong.dots_packed(rounded, block)) for block in self._blocks],
            axis=1,
        )


def score_error_bound(dimension: int, norm: float) -> float:
    """By how much the products of a query of this norm may be wrong."""
    terms = 2 * dimension * _FLOAT32  # twice: a kernel may multiply and add in two steps
    return (_BFLOAT16 + (1 + _BFLOAT16) * terms / (1 - terms)) * (1 + UNIT_ERROR) * norm + _TINY


def build_bf16_index(dimension: int) -> Bf16Index | None:
    """None where numkong is not installed, has no kernel for this processor, or does not keep to the bound."""
    try:
        packed = Bf16Index()
        import numkong
    except ImportError:
        return None
    if not any(has for name, has in numkong.get_capabilities().items() if name != "serial"):
        return None
    rows = np.random.default_rng(0).standard_normal((64, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    packed.update(rows, ())
    return (
        Bf16Index()
        if np.abs(packed.scores(rows) - rows @ rows.T).max() <= score_error_bound(dimension, 1.0)
        else None
    )
