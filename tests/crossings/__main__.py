"""Run many random crossings: `python -m tests.crossings --count 20000 --lanes 1000 --workers 2`."""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.pool
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from tests.crossings.lanes import LaneOutcome, cross_lanes, draw_lane_scene
from tests.crossings.oracle import Outcome, cross
from tests.crossings.scene import draw_scene


@dataclass
class _Total:
    """Sums over scenes."""

    grants: int = 0
    deserved: int = 0
    faults: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 if any grant was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="scenes before one camera")
    parser.add_argument("--lanes", type=int, default=1_000, help="scenes before two lanes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--without-guard", action="store_true", help="run the lanes without their guard"
    )
    args = parser.parse_args(argv)
    with multiprocessing.Pool(args.workers) as pool:
        one = _add_up(pool, partial(_run, args.seed), args.count)
        is_guarded = not args.without_guard
        two = _add_up(pool, partial(_run_lanes, args.seed, is_guarded), args.lanes)
    for fault in (*one.faults, *two.faults):
        print(fault)
    print(
        f"{args.count} scenes, {one.deserved} living enrolled people, {one.grants} grants, "
        f"{len(one.faults)} wrong"
    )
    print(
        f"{args.lanes} scenes of two lanes, {two.deserved} enrolled people, {two.grants} grants at "
        f"the right lane, {len(two.faults)} at the wrong one"
    )
    return 1 if one.faults or two.faults else 0


def _add_up(
    pool: multiprocessing.pool.Pool, run: Callable[[int], Outcome | LaneOutcome], count: int
) -> _Total:
    total = _Total()
    results = pool.imap_unordered(run, range(count), chunksize=20)
    for outcome in tqdm(results, total=count, unit="scene"):
        total.grants += outcome.grants
        total.deserved += outcome.deserved
        total.faults += outcome.faults
    return total


def _run(seed: int, number: int) -> Outcome:
    return cross(draw_scene(seed, number))


def _run_lanes(seed: int, is_guarded: bool, number: int) -> LaneOutcome:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return cross_lanes(draw_lane_scene(seed, number), Path(folder), is_guarded=is_guarded)


if __name__ == "__main__":
    sys.exit(main())
