"""Approximate scores of all templates in bfloat16, by numkong, with a proven error bound.

Reading half of the bytes takes about half of the time. Rounding to bfloat16 changes a number by at
most 2^-8 of itself. With x' and q' for x and q, by Cauchy-Schwarz,
|x.q - x'.q'| <= (2 * 2^-8 + 2^-16) |x| |q|. The error of float32 sums, in any order: N. Higham,
"Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numkong import PackedMatrix

BLOCK = 4096  # rows that are packed together, and packed again after a change
UNIT_ERROR = 1e-3  # largest difference of a norm from 1
_BFLOAT16 = 2 * 2.0**-8 + 2.0**-16
_FLOAT32 = 2.0**-24
_TINY = 1e-6  # covers denormal numbers, and rounding when scores are compared

Rows = NDArray[np.float32]


class Bf16Index:
    """Rows (N,D) of unit norm in bfloat16, packed block by block.

    Raises ImportError if numkong is not installed.
    """

    def __init__(self) -> None:
        import numkong

        self._numkong = numkong
        self._blocks: list[PackedMatrix] = []

    def update(self, rows: Rows, changed: Collection[int]) -> None:
        """Pack the changed and the new blocks of rows; blocks beyond the rows are removed."""
        count = -(-len(rows) // BLOCK)
        del self._blocks[count:]
        for block in sorted({*changed, *range(len(self._blocks), count)}):
            if block < count:
                rounded = self._numkong.astype(rows[block * BLOCK : (block + 1) * BLOCK], "bf16")
                self._blocks[block : block + 1] = [self._numkong.dots_pack(rounded)]
                # The copy is freed unwiped otherwise; packed blocks cannot be overwritten.
                np.asarray(memoryview(rounded))[:] = 0

    def scores(self, queries: Rows) -> NDArray[np.float32]:
        """Return the scores (B,N) of queries (B,D); the caller may change them."""
        rounded = self._numkong.astype(queries, "bf16")
        return np.concatenate(
            [np.asarray(self._numkong.dots_packed(rounded, block)) for block in self._blocks],
            axis=1,
        )


def score_error_bound(dimension: int, norm: float) -> float:
    """Return the largest error of a score of a query of this norm."""
    terms = 2 * dimension * _FLOAT32  # twice: a kernel may multiply and add in two steps
    return (_BFLOAT16 + (1 + _BFLOAT16) * terms / (1 - terms)) * (1 + UNIT_ERROR) * norm + _TINY


def build_bf16_index(dimension: int) -> Bf16Index | None:
    """Return an empty index; None without numkong, or without an accurate kernel here."""
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
