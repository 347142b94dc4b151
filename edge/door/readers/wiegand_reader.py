"""Wiegand reader on two lines: edges to cards and PINs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.door.readers.events import ReaderInput
from edge.door.readers.keypad import KeypadBuffer
from edge.door.readers.wiegand_decoder import (
    KeyPressed,
    WiegandDecoder,
    WiegandFormat,
    WiegandRead,
)
from edge.errors import DoorError

_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LineEdge:
    """Falling edge of line 0 or 1; `number` counts the edges of both lines without a gap."""

    line: int
    at_ns: int
    number: int


class EdgeSource(Protocol):
    """Open lines D0 and D1. Raises OSError if they are lost."""

    def wait(self, timeout_s: float) -> bool:
        """Return True if edges can be read."""

    def read(self) -> Sequence[LineEdge]:
        """Return the oldest edges, at least one."""

    def close(self) -> None: ...


class WiegandReader:
    """Decodes edges; their times are those of the clock, monotonic nanoseconds."""

    def __init__(
        self,
        open_edges: Callable[[], EdgeSource],
        expected: WiegandFormat,
        pin_timeout_s: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._open_edges = open_edges
        self._expected = expected
        self._clock_ns = clock_ns
        self._keypad = KeypadBuffer(pin_timeout_s)
        self._edges: EdgeSource | None = None

    def open(self) -> None:
        self.close()
        self._edges = self._open_edges()
        self._decoder = WiegandDecoder(self._expected)
        self._keypad.clear()
        self._next_number: int | None = None

    def poll(self, timeout_s: float) -> Sequence[ReaderInput]:
        assert self._edges is not None, "not open"
        if self._decoder.is_receiving:
            timeout_s = min(timeout_s, self._expected.frame_gap_ns / _NS)
        try:
            self._edges.wait(timeout_s)
            now_ns = self._clock_ns()  # before the edges are read: none before it is missing
            reads = [read for edge in self._read_edges() if (read := self._add(edge))]
        except OSError as error:
            raise DoorError(
                f"the data lines cannot be read: {error.strerror}; see gpioinfo"
            ) from error
        if ended := self._decoder.end_frame(now_ns):
            reads.append(ended)
        return [found for read in reads if (found := self._translate(read, now_ns / _NS))]

    def close(self) -> None:
        if self._edges is not None:
            self._edges.close()
            self._edges = None

    def _read_edges(self) -> Sequence[LineEdge]:
        assert self._edges is not None
        found: list[LineEdge] = []
        while len(found) < 4096 and self._edges.wait(0):
            found += self._edges.read()
        return sorted(found, key=lambda edge: edge.number)  # each line has its own interrupt

    def _add(self, edge: LineEdge) -> WiegandRead | None:
        if self._next_number is not None and edge.number != self._next_number:
            self._decoder.note_lost_edges(edge.at_ns)
        self._next_number = edge.number + 1
        return self._decoder.add_edge(edge.line, edge.at_ns)

    def _translate(self, read: WiegandRead, now: float) -> ReaderInput | None:
        if not isinstance(read, KeyPressed):
            self._keypad.clear()
            return read
        return self._keypad.press(read.key, now)
