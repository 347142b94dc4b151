"""Falling edges of two lines of a GPIO character device, timed by the kernel, through libgpiod."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gpiod
from gpiod.line import Bias, Clock, Direction, Edge

from edge.door.readers.wiegand_reader import LineEdge
from edge.errors import DoorError

_BUFFER_EDGES = 1024
_BIASES = {"up": Bias.PULL_UP, "external": Bias.AS_IS}


class GpioEdges:
    """Edges of D0 and D1."""

    def __init__(self, chip: str, d0: int | str, d1: int | str, pull: str) -> None:
        """Request the lines. Raises DoorError."""
        settings = gpiod.LineSettings(
            direction=Direction.INPUT,
            edge_detection=Edge.FALLING,
            bias=_BIASES[pull],
            event_clock=Clock.MONOTONIC,
        )
        try:
            with gpiod.Chip(chip) as device:
                offsets = [device.line_offset_from_id(line) for line in (d0, d1)]
                self._request: Any = device.request_lines(
                    consumer="mfsa-door",
                    config={tuple(offsets): settings},
                    event_buffer_size=_BUFFER_EDGES,
                )
        except (OSError, ValueError) as error:
            raise DoorError(
                f"the lines {d0} and {d1} of {chip} cannot be used: {error}; "
                "see `gpioinfo` and docs/wiring.md"
            ) from error
        self._d1_offset = offsets[1]

    def wait(self, timeout_s: float) -> bool:
        return bool(self._request.wait_edge_events(timeout_s))

    def read(self) -> Sequence[LineEdge]:
        return [
            LineEdge(
                line=int(event.line_offset == self._d1_offset),
                at_ns=event.timestamp_ns,
                number=event.global_seqno,
            )
            for event in self._request.read_edge_events()
        ]

    def close(self) -> None:
        self._request.release()
