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
# Durability: kill -9 and power cuts

Measured by `make durability` on the real gallery and the real audit logs. A process does operations
one after the other and reports when each begins and when it is acknowledged. The remaining files
are opened by the real code. It must find

- each acknowledged operation, exactly as written,
- all or nothing of an operation that was not acknowledged,
- no removed person,
- valid rows and pages according to `edge-gallery verify`,

and the next operation must work.

## kill -9

{total} rounds, {inside} of them killed between the beginning and the end of an operation, at a
random time after its beginning. Half of the rounds ran on a disk, half in memory.

| operation | rounds | killed inside | complete | absent | acknowledged before | rounds with a problem | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(kill_row(name, found) for name, found in kills.items())}

Controls: the same with code that was broken on purpose. The check must report problems.

| broken | rounds | killed inside | complete | absent | acknowledged before | rounds with a problem | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(kill_row(name, found) for name, found in broken.items())}

## Power cut

Every system call that writes is traced (strace) and repeated on a model of a disk. After each call
the power is cut. Of what was not synced, the image holds nothing, everything, or a random part:
complete writes or single sectors of 512 bytes, in any order, with a torn last write. Names are safe
once their folder was synced. Each distinct image is opened by the real code.

| operation | runs | moments | with unsynced data | images | with a problem | share | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(cut_row(name, found) for name, found in cuts.items())}

Controls: a gallery that does not wait for the disk, audit logs that are not synced, and code that
was broken on purpose. Each must fail.

| control | runs | moments | with unsynced data | images | with a problem | share | problems |
|---|---|---|---|---|---|---|---|
{NEWLINE.join(cut_row(name, found) for name, found in controls.items())}

| problem | meaning |
|---|---|
| lost | acknowledged and absent |
| half | neither the state before nor after an operation |
| back | removed and present again |
| erased | an encrypted row of a removed person is left in the files |
| damaged | `verify` reports a finding |
| unreadable | refused |
| order | records in another order, or a number used twice |
| stuck | the next operation fails |

## Limits

- A disk that reports a sync and did not sync, or that changes other sectors, is not modelled.
- Flash that loses a page together with its neighbours is not modelled.
- SQLite's `-shm` file is left out: it is rebuilt at each start.
- The model is stricter than ext4, which keeps the name of a synced file.
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
