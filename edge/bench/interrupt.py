"""Ctrl-C and SIGTERM end a measurement early; the results are still reported."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class InterruptHandler:
    """True after the first Ctrl-C or SIGTERM. A second Ctrl-C ends the process."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self._asked

    def __enter__(self) -> InterruptHandler:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, self._before[number])
