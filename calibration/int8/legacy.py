"""Entropy calibrator of TensorRT 8 to 10, for the DLA of old releases, which takes no Q/DQ.

TensorRT 11 has no calibrators: INT8 then comes from the Q/DQ file of `mfsa-quantize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EngineError
from edge.system.atomic_files import write_atomic


def entropy_calibrator(
    trt: ModuleType, cuda: ModuleType, inputs: NDArray[np.float32], cache: Path, batch: int = 8
) -> Any:
    """Return an `IInt8EntropyCalibrator2` for network inputs (N,3,H,W); `free()` it at the end.

    The ranges are cached in a file, which belongs to one network and one set of chips. Raises
    EngineError without calibrators, or for fewer inputs than a batch.
    """
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise EngineError(
            f"TensorRT {trt.__version__} has no calibrators; build from the Q/DQ file of "
            "mfsa-quantize"
        )
    if len(inputs) < batch:
        raise EngineError(f"expected at least {batch} chips to calibrate with, found {len(inputs)}")

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self._batches = self._shares()
            self._device = cuda.mem_alloc(inputs[:batch].nbytes)

        @staticmethod
        def _shares() -> Iterator[NDArray[np.float32]]:
            for start in range(0, len(inputs) - batch + 1, batch):
                yield np.ascontiguousarray(inputs[start : start + batch])

        def get_batch_size(self) -> int:
            return batch

        def get_batch(self, names: list[str]) -> list[int] | None:
            share = next(self._batches, None)
            if share is None:
                return None
            cuda.memcpy_htod(self._device, share)
            return [int(self._device)]

        def read_calibration_cache(self) -> bytes | None:
            return cache.read_bytes() if cache.is_file() else None

        def write_calibration_cache(self, ranges: Any) -> None:
            write_atomic(cache, bytes(ranges), 0o644)

        def free(self) -> None:
            self._device.free()

    return Calibrator()
