"""Random steps in worlds of some steps each, compared with the oracle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

WORLD_STEPS = 100


class World(Protocol):
    """Something under test with its oracle, driven by a seed."""

    outcomes: Counter[str]

    def step(self) -> None:
        """Do one random step; raises AssertionError if the answer is wrong."""

    def close(self) -> None: ...


def do_random_step(source: random.Random, steps: Sequence[tuple[Callable[[], None], int]]) -> None:
    """Do one of some steps, each with a weight."""
    actions, weights = zip(*steps, strict=True)
    source.choices(actions, weights)[0]()


def run_worlds(make: Callable[[int, Path], World], steps: int, *, seed: int) -> Counter[str]:
    """Run steps in worlds made of a seed and a folder; return the outcomes.

    Raises AssertionError with the seed of the world and the number of the step.
    """
    outcomes: Counter[str] = Counter()
    for first in range(0, steps, WORLD_STEPS):
        world_seed = seed + first // WORLD_STEPS
        with TemporaryDirectory(prefix="mfsa-rules-") as folder:
            world = make(world_seed, Path(folder))
            try:
                for number in range(min(WORLD_STEPS, steps - first)):
                    try:
                        world.step()
                    except AssertionError as error:
                        place = f"{type(world).__name__}, seed {world_seed}, step {number}"
                        raise AssertionError(f"{place}: {error}") from error
            finally:
                world.close()
        outcomes += world.outcomes
    return outcomes
