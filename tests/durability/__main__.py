"""`python -m tests.durability --out docs/measurements/durability.md`: measure both tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tests.durability.controls import CONTROLS, find
from tests.durability.cuts import Cuts, cut
from tests.durability.kills import Kills, kill
from tests.durability.trace import tracing_obstacle
from tests.durability.victims import VICTIMS
from tests.memory import scratch

NEWLINE = "\n"
_FEWER = 10  # times fewer images of victims that take long
_INTRODUCTION = """\
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

"""
_CUT_INTRODUCTION = """\
## Power cut

Every system call that writes is traced (strace) and repeated on a model of a disk. After each call
the power is cut. Of what was not synced, the image holds nothing, everything, or a random part:
complete writes or single sectors of 512 bytes, in any order, with a torn last write. Names are safe
once their folder was synced. Each distinct image is opened by the real code.

"""
_MEANING_AND_LIMITS = """\
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
_KILL_COLUMNS = (
    "| rounds | killed inside | complete | absent | acknowledged before | rounds with a problem "
    "| problems |\n|---|---|---|---|---|---|---|---|"
)
_CUT_COLUMNS = (
    "| runs | moments | with unsynced data | images | with a problem | share | problems |\n"
    "|---|---|---|---|---|---|---|---|"
)


def _words(problems: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in problems.most_common()) or "none"


def kill_row(name: str, kills: Kills) -> str:
    counts = (kills.rounds, kills.inside, kills.completed, kills.absent, kills.acknowledged)
    cells = [name, *map(str, counts), str(kills.bad), _words(kills.problems)]
    return f"| {' | '.join(cells)} |"


def cut_row(name: str, cuts: Cuts) -> str:
    counts = (cuts.runs, cuts.moments, cuts.unsynced, cuts.images, cuts.bad)
    share = f"{cuts.bad / cuts.images:.1%}"
    return f"| {' | '.join([name, *map(str, counts), share, _words(cuts.problems)])} |"


def page(
    kills: Mapping[str, Kills],
    broken: Mapping[str, Kills],
    cuts: Mapping[str, Cuts],
    controls: Mapping[str, Cuts],
) -> str:
    """Return the page of both tables."""
    parts = (_INTRODUCTION, _kill_tables(kills, broken), _CUT_INTRODUCTION)
    return "".join((*parts, _cut_tables(cuts, controls), _MEANING_AND_LIMITS))


def _kill_tables(kills: Mapping[str, Kills], broken: Mapping[str, Kills]) -> str:
    total, inside = sum(k.rounds for k in kills.values()), sum(k.inside for k in kills.values())
    return f"""\
{total} rounds, {inside} of them killed between the beginning and the end of an operation, at a
random time after its beginning. Half of the rounds ran on a disk, half in memory.

| operation {_KILL_COLUMNS}
{NEWLINE.join(kill_row(name, found) for name, found in kills.items())}

Controls: the same with code that was broken on purpose. The check must report problems.

| broken {_KILL_COLUMNS}
{NEWLINE.join(kill_row(name, found) for name, found in broken.items())}

"""


def _cut_tables(cuts: Mapping[str, Cuts], controls: Mapping[str, Cuts]) -> str:
    return f"""\
| operation {_CUT_COLUMNS}
{NEWLINE.join(cut_row(name, found) for name, found in cuts.items())}

Controls: a gallery that does not wait for the disk, audit logs that are not synced, and code that
was broken on purpose. Each must fail.

| control {_CUT_COLUMNS}
{NEWLINE.join(cut_row(name, found) for name, found in controls.items())}

"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.durability", description=__doc__)
    parser.add_argument("--out", type=Path, help="Markdown; default: to the terminal")
    parser.add_argument(
        "--rounds",
        type=int,
        default=200,
        help="kills of each victim; half for a control (default %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=3000,
        help="power cuts of each victim; a tenth for a control (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser


def _kill_half_and_half(name: str, rounds: int, seed: int, disk: Path, memory: Path) -> Kills:
    half = kill(find(name), rounds // 2, seed, disk)
    return half + kill(find(name), rounds - rounds // 2, seed + 1, memory)


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if (why := tracing_obstacle()) is not None:
        print(f"power cuts are not possible: {why}", file=sys.stderr)
        return 2
    with (
        scratch() as memory,
        tempfile.TemporaryDirectory() as disk,
        tqdm(total=2 * (len(VICTIMS) + len(CONTROLS)), unit="table row", disable=None) as bar,
    ):

        def killed(name: str, rounds: int) -> Kills:
            bar.update()
            return _kill_half_and_half(name, rounds, args.seed, Path(disk), Path(memory))

        def cut_off(name: str, images: int) -> Cuts:
            bar.update()
            fewer = images // _FEWER if "bulk" in name else images
            return cut(find(name), fewer, args.seed, Path(memory))

        kills = {name: killed(name, args.rounds) for name in VICTIMS}
        by_kill = [control.name for control in CONTROLS if control.by_kill]
        broken = {name: killed(name, args.rounds // 2) for name in by_kill}
        cuts = {name: cut_off(name, args.images) for name in VICTIMS}
        controls = {control.name: cut_off(control.name, args.images // 10) for control in CONTROLS}
    text = page(kills, broken, cuts, controls)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)
    return _exit_code([*kills.items(), *cuts.items()], [*broken.items(), *controls.items()])


def _exit_code(
    victims: Sequence[tuple[str, Kills | Cuts]], controls: Sequence[tuple[str, Kills | Cuts]]
) -> int:
    """Print problems of victims and controls without any; return 1 if there are such."""
    for name, found in victims:
        for example in found.examples:
            print(f"{name}: {example}", file=sys.stderr)
    unseen = [name for name, found in controls if not found.bad]
    for name in unseen:
        print(f"{name}: broken on purpose, and no problem was reported", file=sys.stderr)
    return 1 if unseen or any(found.bad for _, found in victims) else 0


if __name__ == "__main__":
    sys.exit(main())
