"""What a victim is: who does steps on the real code, and says of what is left whether it is what it promised."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.errors import MfsaError

AFTERWARDS = "Afterwards"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation; everything that it writes follows from these."""

    kind: str
    name: str = ""
    seed: int = 0
    count: int = 0
    is_promised: bool = True  # whether it is promised to be on disk once it is acknowledged
    day: float = 0.0  # on which it is done, for those who look at the clock


class Actor(Protocol):
    """Somebody at work in a folder."""

    def do(self, step: Step) -> str:
        """One step, done on return; what `Victim.problems` should know of it beside the step itself."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Left:
    """What is known from outside at the moment of a kill or a power cut."""

    acknowledged: Sequence[Step]
    begun: Step | None  # and not acknowledged
    told: Sequence[str] = ()  # by `do`, step by step
    lossy: bool = False  # the power was cut


class Victim(Protocol):
    """`before` makes what is there before the script of a round."""

    name: str
    before: Sequence[Step]

    def prepare(self, folder: Path) -> None: ...

    def script(self, rng: random.Random, count: int) -> list[Step]: ...

    def open(self, folder: Path) -> Actor: ...

    def problems(self, folder: Path, left: Left) -> Iterator[str]:
        """What is wrong with what is left, each by a word to count it by, a colon, and more."""


@contextmanager
def refusing(word: str) -> Iterator[list[str]]:
    """Our own errors are answers here, and a problem; the others are too."""
    trouble: list[str] = []
    try:
        yield trouble
    except MfsaError as error:
        trouble.append(f"{word}: {error}")
    except Exception as error:
        trouble.append(f"{word}: {error!r}")


@contextmanager
def silent() -> Iterator[None]:
    """Without what processes that are started meanwhile say to the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def run_before(victim: Victim, folder: Path) -> None:
    actor = victim.open(folder)
    for step in victim.before:
        actor.do(step)
    actor.close()
