"""`edge-bench gallery`: the search alone, over random templates."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tqdm import tqdm

from edge.bench import machine
from edge.bench.accumulator import rounded_series
from edge.bench.interrupt import InterruptHandler
from edge.bench.networks import random_templates
from edge.bench.quantities import Summary
from edge.bench.results import GalleryReport, GalleryRow
from edge.gallery.search import Index

_PER_SUBJECT = 3
_MIB = 1 << 20


def measure_searches(
    sizes: Sequence[int], embedding: int, searches: int, stop: InterruptHandler
) -> GalleryReport:
    """Measure all sizes in turns, so that changes of the machine affect all."""
    indices = [_index(size, embedding, seed) for seed, size in enumerate(sizes)]
    probes = random_templates(searches + 1, embedding, seed=len(sizes))
    times: list[list[float]] = [[] for _ in sizes]
    for number, probe in enumerate(
        tqdm(probes, desc="searching", unit="round", leave=False, disable=None)
    ):
        for index, ms in zip(indices, times, strict=True):
            started = time.perf_counter()
            index.search(probe)
            if number:  # the first only warms up
                ms.append((time.perf_counter() - started) * 1000)
        if stop and number:
            break
    rows = tuple(_row(size, embedding, ms) for size, ms in zip(sizes, times, strict=True))
    return GalleryReport(
        made_at=machine.now(),
        machine=machine.describe_this_machine(),
        templates_per_subject=_PER_SUBJECT,
        rows=rows,
    )


def _index(size: int, embedding: int, seed: int) -> Index:
    return Index.from_templates(
        [f"random-{i // _PER_SUBJECT}" for i in range(size)],
        random_templates(size, embedding, seed),
    )


def _row(size: int, embedding: int, ms: list[float]) -> GalleryRow:
    summary = Summary.from_ms(ms)
    assert summary is not None
    return GalleryRow(
        templates=size,
        embedding=embedding,
        mib=round(size * embedding * 4 / _MIB, 2),
        search=summary,
        templates_per_us=round(size / summary.median / 1000, 2),
        series=rounded_series({"search": ms}),
    )
