"""Victims: they run steps on the real code, and check the files after a kill or power cut."""

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
    """Operation whose fields determine everything that it writes."""

    kind: str
    name: str = ""
    seed: int = 0
    count: int = 0
    is_durable: bool = True  # must be on disk once it is acknowledged
    day: float = 0.0  # of the operation, for victims that read the clock


class Actor(Protocol):
    """Runs steps in a folder."""

    def do(self, step: Step) -> str:
        """Run one step; return a result that `Victim.problems` needs."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CrashState:
    """Progress at the moment of a kill or power cut."""

    acknowledged: Sequence[Step]
    pending: Step | None  # begun and not acknowledged
    results: Sequence[str] = ()  # of `do`, step by step
    lossy: bool = False  # the power was cut


class Victim(Protocol):
    """Kind of work; `before` runs before the script of a round."""

    name: str
    before: Sequence[Step]

    def prepare(self, folder: Path) -> None: ...

    def script(self, rng: random.Random, count: int) -> list[Step]: ...

    def open(self, folder: Path) -> Actor: ...

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        """Yield the problems of the remaining files, each as `word: details`."""


@contextmanager
def collecting_errors(word: str) -> Iterator[list[str]]:
    """Collect an error of the block as a problem."""
    trouble: list[str] = []
    try:
        yield trouble
    except MfsaError as error:
        trouble.append(f"{word}: {error}")
    except Exception as error:
        trouble.append(f"{word}: {error!r}")


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard what this process and its children write to stderr."""
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
