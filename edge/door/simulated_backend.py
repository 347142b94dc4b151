"""Simulated relay that records its changes, for laptops, demos and tests."""

from __future__ import annotations

import time
from collections.abc import Callable


class SimulatedRelayOutput:
    """Relay in memory; `history` holds (monotonic seconds, energised) of each change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.energised = False
        self.history: list[tuple[float, bool]] = []

    def energise(self) -> None:
        self._set(True)

    def deenergise(self) -> None:
        self._set(False)

    def close(self) -> None:
        self._set(False)

    def _set(self, energised: bool) -> None:
        if energised != self.energised:
            self.energised = energised
            self.history = [*self.history[-9_999:], (self._clock(), energised)]
