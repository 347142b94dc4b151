"""`edge-bench run`: all steps once, and the memory that a frame allocates."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from itertools import cycle, islice

import numpy as np

from edge.bench.interrupt import InterruptHandler
from edge.bench.measure import measure
from edge.bench.prepare import PreparedBench
from edge.bench.quantities import Allocations
from edge.bench.results import RunReport
from edge.values import Frame


def run(bench: PreparedBench, stop: InterruptHandler) -> RunReport:
    """Run the measurement; raises CameraError, EngineError, RecordError or DoorError."""
    report = measure(bench, stop)
    wanted = bench.options.allocation_frames and not stop
    return RunReport(**dict(report), allocations=allocations(bench) if wanted else None)


def allocations(bench: PreparedBench) -> Allocations:
    """Measure allocations with tracemalloc, after as many frames that fill the caches."""
    loop, count = bench.loop(), bench.options.allocation_frames
    dated = (Frame(image, n / bench.source.fps, n) for n, image in enumerate(cycle(bench.warm)))
    tracemalloc.start()
    try:
        for frame in islice(dated, count):
            loop.process_frame(frame)
        gc.collect()
        peaks, held, blocks = [], tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
        for frame in islice(dated, count):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            loop.process_frame(frame)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
        gc.collect()
        grown, more = tracemalloc.get_traced_memory()[0] - held, sys.getallocatedblocks() - blocks
    finally:
        tracemalloc.stop()
    return Allocations(
        frames=count,
        peak_kib=round(float(np.median(peaks)) / 1024, 1),
        kept_bytes=round(grown / count, 1),
        kept_blocks=round(more / count, 2),
    )
