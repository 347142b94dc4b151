"""`python -m tests.durability.child VICTIM FOLDER TOLD SEED COUNT`: the process that is traced, and what a forked one does too."""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.durability.spoilt import find
from tests.durability.steps import Step, Victim


def work(
    victim: Victim, folder: Path, steps: Sequence[Step], tell: Callable[[str], object]
) -> None:
    """Each step between two lines: `begin N`, and `done N SECONDS` with what is to be known of it."""
    actor = victim.open(folder)
    for number, step in enumerate(steps):
        tell(f"begin {number}\n")
        began = time.perf_counter()
        told = actor.do(step)
        tell(f"done {number} {time.perf_counter() - began:.6f} {told}\n")
    actor.close()


def heard(lines: str, steps: Sequence[Step]) -> tuple[int, list[str], Step | None]:
    """How many steps were acknowledged, what was told of them, and the step that was begun and not acknowledged."""
    told = [line.split(" ", 3)[3] for line in lines.splitlines() if line.startswith("done")]
    begun = lines.count("begin ")
    return len(told), told, steps[begun - 1] if begun > len(told) else None


def main(name: str, folder: Path, told: Path, seed: int, count: int) -> None:
    logging.disable(logging.CRITICAL)
    victim = find(name)
    fd = os.open(told, os.O_CREAT | os.O_WRONLY)
    work(
        victim,
        folder,
        victim.script(random.Random(seed), count),
        lambda line: os.write(fd, line.encode()),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
