"""Process that runs the steps of a victim and reports its progress.

`python -m tests.durability.child VICTIM FOLDER OUTPUT SEED COUNT`
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.durability.controls import find
from tests.durability.steps import Step, Victim


def run_steps(
    victim: Victim, folder: Path, steps: Sequence[Step], emit: Callable[[str], object]
) -> None:
    """Run each step between two lines: `begin N`, and `done N SECONDS RESULT`."""
    actor = victim.open(folder)
    for number, step in enumerate(steps):
        emit(f"begin {number}\n")
        began = time.perf_counter()
        result = actor.do(step)
        emit(f"done {number} {time.perf_counter() - began:.6f} {result}\n")
    actor.close()


def parse_progress(lines: str, steps: Sequence[Step]) -> tuple[int, list[str], Step | None]:
    """Return the number of acknowledged steps, their results, and the step that was pending."""
    results = [line.split(" ", 3)[3] for line in lines.splitlines() if line.startswith("done")]
    begun = lines.count("begin ")
    done = len(results)
    return done, results, steps[begun - 1] if begun > done else None


def main(name: str, folder: Path, output: Path, seed: int, count: int) -> None:
    logging.disable(logging.CRITICAL)
    victim = find(name)
    fd = os.open(output, os.O_CREAT | os.O_WRONLY)
    run_steps(
        victim,
        folder,
        victim.script(random.Random(seed), count),
        lambda line: os.write(fd, line.encode()),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
