"""Falling edges of two lines of a GPIO character device, timed by the kernel, through libgpiod."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
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
        with _open_chip(chip, (d0, d1)) as device:
            offsets = [device.line_offset_from_id(line) for line in (d0, d1)]
            self._request: Any = device.request_lines(
                consumer="mfsa-door",
                config={tuple(offsets): settings},
                event_buffer_size=_BUFFER_EDGES,
            )
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


def check_lines(chip: str, lines: Sequence[int | str], *, are_free: bool) -> None:
    """Check that the chip has the lines, and that no program uses them if `are_free`.

    Requests none. Raises DoorError.
    """
    with _open_chip(chip, lines) as device:
        found = [device.get_line_info(device.line_offset_from_id(line)) for line in lines]
    for line, info in zip(lines, found, strict=True):
        if are_free and info.used:
            raise DoorError(
                f"line {line} of {chip} is in use by {info.consumer or 'the kernel'}; end the "
                "program that uses it, or write another line"
            )


@contextlib.contextmanager
def _open_chip(chip: str, lines: Sequence[int | str]) -> Iterator[Any]:
    """Open a chip; raises DoorError also for errors of the block."""
    try:
        with gpiod.Chip(chip) as device:
            yield device
    except (OSError, ValueError) as error:
        raise DoorError(
            f"the lines {' and '.join(map(str, lines))} of {chip} cannot be used: {error}; "
            "see `gpioinfo` and docs/wiring.md"
        ) from error
