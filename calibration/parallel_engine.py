"""Engine for measurements: runs each chip of a batch alone, in a thread for each core."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engine import Engine, open_engine


class ParallelEngine:
    """Splits batches into single chips, which other threads run.

    The activations of one chip stay in the cache of a core, those of a batch do not: a chip alone
    needs less processor time, and no thread waits for another within a layer. The engine must allow
    calls of `run` at the same time, as those of ONNX Runtime do.
    """

    def __init__(self, engine: Engine, workers: int) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="chip")

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if len(batch) < 2:
            return self._engine.run(batch)
        parts = list(self._pool.map(self._engine.run, np.split(batch, len(batch))))
        return {
            name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]
        }

    def close(self) -> None:
        self._pool.shutdown()
        self._engine.close()


def open_parallel_engine(model: Path) -> Engine:
    """Open an ONNX file with as many workers as this process has cores; raises EngineError."""
    return ParallelEngine(open_engine(model, threads=1), len(os.sched_getaffinity(0)))
