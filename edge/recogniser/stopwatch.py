"""Durations of the stages of the pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Measures seconds per stage since the last `reset`. Stages: docs/bench.md."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        """Add the time of a block to a stage; costs less than a microsecond."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def reset(self) -> dict[str, float]:
        """Return the seconds by stage and start again from zero."""
        seconds, self.seconds = self.seconds, {}
        return seconds
