"""kill -9 at a random moment: a forked process is killed within an operation.

The real code opens the remaining files.

`python -m tests.durability.kills VICTIM ROUNDS` prints the counts as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import random
import select
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.durability.child import parse_progress, run_steps
from tests.durability.controls import find
from tests.durability.steps import CrashState, Step, Victim
from tests.memory import scratch

_STEPS = 12
_REHEARSALS = 3
_BEYOND = 1.8  # times the usual duration of the operation: a kill may hit the next one
_PATIENCE_S = 600.0


@dataclass
class Kills:
    """Counts over all rounds of one victim."""

    rounds: int = 0
    inside: int = 0  # killed between begin and end of an operation
    completed: int = 0  # of these: the operation is complete
    absent: int = 0  # of these: it is absent
    acknowledged: int = 0  # operations before the kills, all together
    bad: int = 0  # rounds with a problem
    problems: Counter[str] = field(default_factory=Counter)  # by their first word
    examples: list[str] = field(default_factory=list)
    duration_s: dict[str, float] = field(default_factory=dict)  # of an operation by kind, median

    def __add__(self, other: Kills) -> Kills:
        counts = (
            getattr(self, f.name) + getattr(other, f.name)
            for f in fields(self)
            if f.name != "duration_s"
        )
        return Kills(*counts, self.duration_s)

    def add(self, found: Sequence[str]) -> None:
        self.bad += bool(found)
        self.problems.update({problem.partition(":")[0] for problem in found})
        self.examples += found[: max(0, 5 - len(self.examples))]


def kill(victim: Victim, rounds: int, seed: int, place: Path) -> Kills:
    """Run this number of rounds, each on a copy of one state in its own folder in `place`."""
    logging.disable(logging.CRITICAL)
    rng, kills = random.Random(seed), Kills()
    with tempfile.TemporaryDirectory(dir=place) as folder:
        start = Path(folder) / "start"
        start.mkdir()
        victim.prepare(start)
        kills.duration_s = _durations(victim, start, Path(folder), rng)
        for number in range(rounds):
            state = Path(folder) / f"round-{number}"
            shutil.copytree(start, state)
            steps = victim.script(random.Random(rng.random()), _STEPS)
            at = min(
                rng.randrange(_STEPS - 1), rng.randrange(_STEPS - 1)
            )  # early steps more often: some victims treat the first one differently
            delay = rng.uniform(0, _BEYOND) * kills.duration_s.get(steps[at].kind, 0.001)
            lines = _killed(victim, state, steps, at, delay)
            _judge(victim, state, steps, lines, kills)
            shutil.rmtree(state)
    return kills


def _judge(victim: Victim, state: Path, steps: Sequence[Step], lines: str, kills: Kills) -> None:
    done, results, pending = parse_progress(lines, steps)
    kills.rounds += 1
    kills.inside += pending is not None
    kills.acknowledged += done
    left = CrashState([*victim.before, *steps[:done]], pending, results)
    copy = state.with_name(f"{state.name}-again")
    shutil.copytree(state, copy)
    found = list(victim.problems(state, left))
    if pending is not None and pending.kind != "reopen" and not found:
        # Compared with the state before the operation: a problem shows that it is complete.
        is_complete = any(victim.problems(copy, CrashState(left.acknowledged, None, results)))
        kills.completed += is_complete
        kills.absent += not is_complete
    shutil.rmtree(copy)
    kills.add(found)


def _killed(victim: Victim, state: Path, steps: Sequence[Step], at: int, delay: float) -> str:
    """Return the output of a process that is killed `delay` seconds after a step began."""
    reader, child = _forked(victim, state, steps)
    lines = b""
    mark, ends = f"begin {at}\n".encode(), time.monotonic() + _PATIENCE_S
    while mark not in lines and (chunk := _read(reader, ends)):
        lines += chunk
    if mark in lines:
        until = time.perf_counter() + delay
        while time.perf_counter() < until:
            pass
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(reader, 1 << 16):
        lines += chunk
    os.close(reader)
    if mark not in lines:
        raise RuntimeError(
            f"{victim.name}: ended by itself before step {at}: {lines.decode()[-500:]}"
        )
    return lines.decode()


def _durations(victim: Victim, start: Path, folder: Path, rng: random.Random) -> dict[str, float]:
    """Return the median seconds of an operation by kind, from complete runs."""
    found: dict[str, list[float]] = {}
    for number in range(_REHEARSALS):
        state = folder / f"rehearsal-{number}"
        shutil.copytree(start, state)
        steps = victim.script(random.Random(rng.random()), 3 * _STEPS)
        reader, child = _forked(victim, state, steps)
        lines, ends = b"", time.monotonic() + _PATIENCE_S
        while chunk := _read(reader, ends):
            lines += chunk
        for line in lines.decode().splitlines():
            word, step, *more = line.split(" ")
            if word == "done":
                found.setdefault(steps[int(step)].kind, []).append(float(more[0]))
        os.close(reader)
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"{victim.name}: an undisturbed run failed")
        shutil.rmtree(state)
    return {kind: statistics.median(times) for kind, times in found.items()}


def _read(reader: int, ends: float) -> bytes:
    if not select.select([reader], [], [], max(0.0, ends - time.monotonic()))[0]:
        raise TimeoutError("the process sends no more output")
    return os.read(reader, 1 << 16)


def _forked(victim: Victim, state: Path, steps: Sequence[Step]) -> tuple[int, int]:
    """Start a process in its own group; return the end of its pipe, and its process id."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        os.setpgid(child, child)
        return reader, child
    status = 1
    try:
        os.setpgid(0, 0)
        os.close(reader)
        run_steps(victim, state, steps, lambda line: os.write(writer, line.encode()))
        status = 0
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
    finally:
        os._exit(status)


if __name__ == "__main__":
    with scratch() as memory:
        print(json.dumps(vars(kill(find(sys.argv[1]), int(sys.argv[2]), 1, Path(memory)))))
