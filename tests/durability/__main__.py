"""`python -m tests.durability --out docs/measurements/durability.md`: measure both tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from tests.durability.cuts import Cuts, cut
from tests.durability.kills import Kills, kill
from tests.durability.spoilt import SPOILT, find
from tests.durability.trace import why_not
from tests.durability.victims import VICTIMS
from tests.memory import scratch

NEWLINE = "\n"
_FEWER = 10  # times fewer images of those that take long


def _words(problems: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in problems.most_common()) or "none"


def kill_row(name: str, kills: Kills) -> str:
    cells = [
        name, f"{kills.rounds}", f"{kills.inside}", f"{kills.whole}", f"{kills.absent}", f"{kills.acknowledged}", f"{kills.bad}",
        _words(kills.problems),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def cut_row(name: str, cuts: Cuts) -> str:
    cells = [
        name, f"{cuts.runs}", f"{cuts.moments}", f"{cuts.unsynced}", f"{cuts.images}", f"{cuts.bad}",
        f"{cuts.bad / cuts.images:.1%}", _words(cuts.problems),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def page(
    kills: Mapping[str, Kills],
    broken: Mapping[str, Kills],
    cuts: Mapping[str, Cuts],
    controls: Mapping[str, Cuts],
) -> str:
    total, inside = sum(k.rounds for k in kills.values()), sum(k.inside for k in kills.values())
    return f"""\
# What is left after kill -9, and after the power is cut

Measured by `make durability`, on the real gallery and the real records. A process does operations one after the other and says of
each when it begins and when it is acknowledged. What it leaves is opened by the real code, and must hold: whatever was
acknowledged, exactly as it was written; of an operation that was not, all or nothing; nobody who was removed; rows and pages that
`edge-gallery verify` finds whole; and the next operation must work.

## kill -9

{total} rounds, {inside} of them killed between the beginning and the end of an operation: a random time after it began, half of the
rounds on a disk and half in memory.

| what was at work | rounds | killed inside | it was there | it was not | acknowledged before | rounds with a problem | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(kill_row(name, found) for name, found in kills.items())}

The same with code that was broken by hand, which must be seen:

| broken | rounds | killed inside | it was there | it was not | acknowledged before | rounds with a problem | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(kill_row(name, found) for name, found in broken.items())}

## Power cut

Every system call that writes is traced (strace) and done again on a model of a disk. After each call the power is cut: of what
was not synced by then nothing is left, or all, or a random part: whole writes, single sectors of 512 bytes, in any order, a torn
last write; names are safe once their folder was synced. Each image that differs is opened by the real code.

| what was at work | runs | moments | with something to lose | images | with a problem | share | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(cut_row(name, found) for name, found in cuts.items())}

The same with a gallery that does not wait for the disk, records that are not synced, and code that was broken by hand. Each must
fail:

| control | runs | moments | with something to lose | images | with a problem | share | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(cut_row(name, found) for name, found in controls.items())}

lost: acknowledged and not there. half: neither before nor after an operation. back: removed and there again. erased: a sealed row
of somebody who was removed lies in the files. damaged: `verify` objects. unreadable: refused. order: records in another order, or
with a number twice. stuck: the next operation fails.

What this does not show: a disk that says it has synced and has not, one that changes sectors that nobody wrote, and flash that
loses a page with its neighbours. SQLite's `-shm` file is left out: it is made anew. The model is stricter than ext4, which keeps
the name of a file that was synced.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.durability", description=__doc__)
    parser.add_argument("--out", type=Path, help="Markdown; default: to the terminal")
    parser.add_argument(
        "--rounds",
        type=int,
        default=200,
        help="of kill -9, a victim; half for a control (default %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=3000,
        help="of power cuts, a victim; a tenth for a control (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    if (why := why_not()) is not None:
        print(f"no power can be cut: {why}", file=sys.stderr)
        return 2
    jobs = 2 * (len(VICTIMS) + len(SPOILT))
    with (
        scratch() as memory,
        tempfile.TemporaryDirectory() as disk,
        tqdm(total=jobs, unit="table row", disable=None) as bar,
    ):

        def killed(name: str, rounds: int) -> Kills:
            bar.update()
            half = kill(find(name), rounds // 2, args.seed, Path(disk))
            return half + kill(find(name), rounds - rounds // 2, args.seed + 1, Path(memory))

        def cut_off(name: str, images: int) -> Cuts:
            bar.update()
            return cut(
                find(name), images // _FEWER if "bulk" in name else images, args.seed, Path(memory)
            )

        kills = {name: killed(name, args.rounds) for name in VICTIMS}
        broken = {
            spoilt.name: killed(spoilt.name, args.rounds // 2)
            for spoilt in SPOILT
            if spoilt.by_kill
        }
        cuts = {name: cut_off(name, args.images) for name in VICTIMS}
        controls = {spoilt.name: cut_off(spoilt.name, args.images // 10) for spoilt in SPOILT}
    text = page(kills, broken, cuts, controls)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)
    unseen = [name for name, found in {**broken, **controls}.items() if not found.bad]
    wrong = [name for name, found in [*kills.items(), *cuts.items()] if found.bad]
    for name, found in [*kills.items(), *cuts.items()]:
        for example in found.examples:
            print(f"{name}: {example}", file=sys.stderr)
    for name in unseen:
        print(f"{name}: broken by hand, and nobody noticed", file=sys.stderr)
    return 1 if wrong or unseen else 0


if __name__ == "__main__":
    sys.exit(main())
