"""Decoder of Wiegand frames from the times of falling edges. Pure.

Each edge is a bit: 0 on line D0, 1 on line D1. A frame is used only if nothing about it is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from edge.door.readers.card_formats import ParityRule
from edge.door.readers.events import CARD_BITS_MAX, CardRead, Malformation, ReadMalformed
from edge.door.readers.keypad import CLEAR, ENTER

# Readers send at a steady rate. A missing pulse doubles an interval, an additional one halves one.
_INTERVAL_RATIO_MAX = 1.6
_KEYS = (*"0123456789", CLEAR, ENTER)


@dataclass(frozen=True, slots=True, repr=False)
class KeyPressed:
    """Key of a keypad: a digit, ENTER or CLEAR."""

    key: str

    def __repr__(self) -> str:
        return "KeyPressed(hidden)"


WiegandRead: TypeAlias = CardRead | KeyPressed | ReadMalformed


@dataclass(frozen=True, slots=True)
class WiegandFormat:
    """Expected frames; times in nanoseconds."""

    bits: int
    parity: tuple[ParityRule, ...]
    keypad_bits: int | None  # 4 or 8 for each key; None: no keypad
    frame_gap_ns: int  # silence that ends a frame
    interval_min_ns: int  # between two pulses


class WiegandDecoder:
    """Collects the edges of one frame at a time."""

    def __init__(self, expected: WiegandFormat) -> None:
        self._expected = expected
        self._edges: list[tuple[int, int]] = []  # line and time
        self._flaw: Malformation | None = None

    @property
    def is_receiving(self) -> bool:
        """True while a frame has begun and has not ended."""
        return bool(self._edges)

    def add_edge(self, line: int, at_ns: int) -> WiegandRead | None:
        """Add an edge of line 0 or 1. Return the previous frame if this edge begins another one."""
        ended = self.end_frame(at_ns)
        if self._edges:
            previous_line, previous_ns = self._edges[-1]
            if at_ns - previous_ns < self._expected.interval_min_ns:
                self._flaw = self._flaw or (
                    Malformation.GLITCH if line == previous_line else Malformation.BOTH_LINES
                )
            if len(self._edges) > CARD_BITS_MAX:
                self._flaw = self._flaw or Malformation.LENGTH
                self._edges.pop()
        self._edges.append((line, at_ns))
        return ended

    def note_lost_edges(self, at_ns: int) -> None:
        """Note that edges were lost before the next one; their frame is malformed."""
        self._flaw = Malformation.INCOMPLETE
        self._edges = self._edges[-1:] or [(0, at_ns)]

    def end_frame(self, now_ns: int) -> WiegandRead | None:
        """Return the frame if it ended; every edge before `now_ns` must have been added."""
        if not self._edges or now_ns - self._edges[-1][1] < self._expected.frame_gap_ns:
            return None
        read = ReadMalformed(self._flaw) if self._flaw else self._decode(self._edges)
        self._edges, self._flaw = [], None
        return read

    def _decode(self, edges: Sequence[tuple[int, int]]) -> WiegandRead:
        data = 0
        for line, _ in edges:
            data = data << 1 | line
        if not _is_steady([at_ns for _, at_ns in edges]):
            return ReadMalformed(Malformation.TIMING)
        if len(edges) == self._expected.keypad_bits:
            return _decode_key(data, len(edges))
        if len(edges) != self._expected.bits:
            return ReadMalformed(Malformation.LENGTH)
        if not all(rule.holds(data) for rule in self._expected.parity):
            return ReadMalformed(Malformation.PARITY)
        return CardRead(data, len(edges))


def _is_steady(times_ns: Sequence[int]) -> bool:
    intervals = [after - before for before, after in pairwise(times_ns)]
    return not intervals or max(intervals) <= _INTERVAL_RATIO_MAX * min(intervals)


def _decode_key(data: int, bits: int) -> KeyPressed | ReadMalformed:
    """Decode a key: four bits, or their complement followed by them."""
    key = data & 0xF
    if bits == 8 and data >> 4 != key ^ 0xF:
        return ReadMalformed(Malformation.PARITY)
    return KeyPressed(_KEYS[key]) if key < len(_KEYS) else ReadMalformed(Malformation.SYNTAX)
