"""Run random steps of the access rules, of a door that applies them, and of two that share zones.

python -m tests.rules --steps 100000 --markdown docs/measurements/rules.md
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tests.rules.combined import run_door_steps
from tests.rules.report import render_page
from tests.rules.shared import run_shared_steps
from tests.rules.world import run_steps

_PART = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Print how often each outcome occurred; return 1 if the engine is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", type=Path, help="the outcomes, and the controls")
    args = parser.parse_args(argv)
    logging.disable()  # the doors would log each alarm
    outcomes: Counter[str] = Counter()
    for done in tqdm(range(0, args.steps, _PART), unit=f"{_PART} steps"):
        try:
            steps = min(_PART, args.steps - done)
            outcomes += run_steps(steps, seed=args.seed + done)
            outcomes += run_door_steps(steps, seed=args.seed + done)
            outcomes += run_shared_steps(steps, seed=args.seed + done)
        except AssertionError as error:
            print(f"wrong: {error}")
            return 1
    for outcome, times in outcomes.most_common():
        print(f"{times:8} {outcome}")
    print(f"{args.steps} steps, no violation")
    if args.markdown:
        page = render_page(args.steps, outcomes)
        args.markdown.write_text(page, encoding="utf-8")
        return int("NOT FOUND" in page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
