"""Run many random crossings: `python -m tests.crossings --count 20000 --workers 2`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from functools import partial

from tqdm import tqdm

from tests.crossings.oracle import Outcome, cross
from tests.crossings.scene import draw_scene


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 if any grant was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="scenes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    grants = deserved = 0
    faults: list[str] = []
    with multiprocessing.Pool(args.workers) as pool:
        numbers = range(args.count)
        results = pool.imap_unordered(partial(_run, args.seed), numbers, chunksize=20)
        for outcome in tqdm(results, total=args.count, unit="scene"):
            grants, deserved = grants + outcome.grants, deserved + outcome.deserved
            faults += outcome.faults
    for fault in faults:
        print(fault)
    print(
        f"{args.count} scenes, {deserved} living enrolled people, {grants} grants, "
        f"{len(faults)} wrong"
    )
    return 1 if faults else 0


def _run(seed: int, number: int) -> Outcome:
    return cross(draw_scene(seed, number))


if __name__ == "__main__":
    sys.exit(main())
