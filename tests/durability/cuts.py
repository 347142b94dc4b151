"""Power cuts: a traced run is repeated on a disk model that loses unsynced data.

The real code opens the remaining files.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.durability.child import parse_progress
from tests.durability.disk import Disk, Loss, write
from tests.durability.steps import CrashState, Step, Victim
from tests.durability.trace import Replay, read_trace, run_traced


@dataclass
class Cuts:
    """Counts over all images of the runs of one victim."""

    runs: int = 0
    moments: int = 0  # of the power cut: after a system call or a line of output
    unsynced: int = 0  # of these: something was not on disk
    images: int = 0  # that differ, in content or in what was acknowledged
    bad: int = 0  # images with a problem
    problems: Counter[str] = field(default_factory=Counter)  # images by the first word of a problem
    by_loss: Counter[str] = field(default_factory=Counter)  # images with a problem by what was lost
    examples: list[str] = field(default_factory=list)

    def add(self, found: Sequence[str], loss: Loss) -> None:
        self.images += 1
        self.bad += bool(found)
        words = {problem.partition(":")[0] for problem in found}
        self.problems.update(words)
        self.by_loss.update([loss.value] if found else [])
        known = {example.partition(":")[0] for example in self.examples}
        self.examples += [
            f"{problem} [{loss.value}]"
            for problem in found
            if problem.partition(":")[0] not in known
        ][:2]


Image = Mapping[PurePosixPath, bytes | None]


def cut(
    victim: Victim,
    images: int,
    seed: int,
    place: Path,
    *,
    steps: int = 12,
    most: int = 600,
    first: bool = False,
) -> Cuts:
    """Check this number of different images, by runs of `steps` operations.

    Each run gives at most `most` images.

    `first` ends at the first image with a problem.
    """
    logging.disable(logging.CRITICAL)
    cuts, rng = Cuts(), random.Random(seed)
    while cuts.images < images and not (first and cuts.bad):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            _run(
                victim,
                rng.randrange(1 << 30),
                Path(folder),
                cuts,
                steps,
                min(most, images - cuts.images),
                first,
            )
        cuts.runs += 1
    return cuts


def _run(
    victim: Victim, seed: int, folder: Path, cuts: Cuts, steps: int, images: int, first: bool
) -> None:
    state, trace, output = folder / "state", folder / "trace", folder / "output"
    state.mkdir()
    victim.prepare(state)
    first, second = Disk(state), Disk(state)
    command = [
        sys.executable,
        "-m",
        "tests.durability.child",
        victim.name,
        str(state),
        str(output),
        str(seed),
        str(steps),
    ]
    run_traced(command, trace)
    calls = read_trace(trace)
    script, rng = victim.script(random.Random(seed), steps), random.Random(seed)
    synced = _synced(first, Replay(first, state, output).steps(calls))
    possible = [
        (moment, loss)
        for moment, is_synced in enumerate(synced)
        for loss in (Loss if not is_synced else (Loss.ALL,))
    ]
    check_replay(first, state)
    cuts.moments += len({i for i, _ in possible})
    cuts.unsynced += sum(loss is Loss.NONE for _, loss in possible)
    seen: set[bytes] = set()
    more = images + images // 2  # some are equal
    chosen = set(rng.sample(possible, min(len(possible), more)))
    for lines, loss, image in _images(
        second, Replay(second, state, output).steps(calls), chosen, rng
    ):
        digest = _digest(lines, image)
        if digest not in seen:
            seen.add(digest)
            cuts.add(_problems(victim, script, lines, image, folder), loss)
        if first and cuts.bad:
            return


def _synced(disk: Disk, replayed: Iterator[str | None]) -> Iterator[bool]:
    """Yield True at the start and after each step of a replay if all data is synced."""
    yield disk.is_synced
    for _ in replayed:
        yield disk.is_synced


def _images(
    disk: Disk,
    replayed: Iterator[str | None],
    chosen: Collection[tuple[int, Loss]],
    rng: random.Random,
) -> Iterator[tuple[str, Loss, Image]]:
    """Yield an image for each chosen moment, with the output until then."""
    output = ""
    for i, line in enumerate(itertools.chain([None], replayed)):
        output += line or ""
        for loss in Loss:
            if (i, loss) in chosen:
                yield output, loss, disk.image(loss, rng)


def _problems(
    victim: Victim, script: Sequence[Step], lines: str, image: Image, folder: Path
) -> list[str]:
    done, results, pending = parse_progress(lines, script)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        write(image, Path(place))
        return list(
            victim.problems(
                Path(place),
                CrashState([*victim.before, *script[:done]], pending, results, lossy=True),
            )
        )


def check_replay(disk: Disk, state: Path) -> None:
    """Raise RuntimeError unless the repeated trace gives the files that the process left."""
    image = disk.image(Loss.NONE, random.Random(0))
    there = {
        PurePosixPath(path.relative_to(state).as_posix()): path
        for path in state.rglob("*")
        if not path.name.endswith("-shm")
    }
    if image.keys() != there.keys():
        raise RuntimeError(
            f"the trace gives {sorted(map(str, image))}, the process left {sorted(map(str, there))}"
        )
    for name, content in image.items():
        if content is not None and content != there[name].read_bytes():
            raise RuntimeError(f"{name}: the trace gives another content than the process left")


def _digest(lines: str, image: Image) -> bytes:
    digest = hashlib.sha256(str((lines.count("done"), lines.count("begin"))).encode())
    for path, content in image.items():
        digest.update(f"|{path}|{'' if content is None else len(content)}|".encode())
        digest.update(content or b"")
    return digest.digest()
