"""`mfsa-masks`: a contact sheet of everything the renderers draw, since people should look at what a network is taught."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration import commands, occluders
from calibration.chips import decode, read_chips
from edge import masks
from edge.chip import SIZE
from edge.cli import common
from edge.errors import ConfigError
from edge.portraits import COLLINS, HOPPER, load_chip

_LABEL = 130  # pixels for a row's name


def sheet(chips: list[NDArray[np.uint8]], columns: int, seed: int) -> NDArray[np.uint8]:
    """A row for each mask family, each other occluder and each frozen exam; the chips take turns."""
    rows = []
    for family in masks.FAMILIES:
        name = f"{family}, unseen" if family in masks.HELD_OUT else family
        rows.append(
            _row(
                name,
                chips,
                columns,
                lambda chip, i, f=family: masks.draw(chip, masks.random_style(_rng(seed, i), (f,))),
            )
        )
    for kind in occluders.KINDS:
        rows.append(
            _row(
                kind, chips, columns, lambda chip, i, k=kind: occluders.draw(chip, k, _rng(seed, i))
            )
        )
    rows.append(_row(masks.EXAM, chips, columns, lambda chip, i: masks.draw_exam(chip, str(i))))
    rows.append(
        _row(
            occluders.PLACES, chips, columns, lambda chip, i: occluders.draw_in_place(chip, str(i))
        )
    )
    return np.vstack(rows)


def _rng(seed: int, column: int) -> np.random.Generator:
    return np.random.default_rng((seed, column))


def _row(
    name: str,
    chips: list[NDArray[np.uint8]],
    columns: int,
    draw: Callable[[NDArray[np.uint8], int], tuple[Any, ...]],
) -> NDArray[np.uint8]:
    label = np.full((SIZE, _LABEL, 3), 255, np.uint8)
    cv2.putText(
        label, name, (4, SIZE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA
    )
    return np.hstack([label, *(draw(chips[i % len(chips)], i)[0] for i in range(columns))])


def main(argv: list[str] | None = None) -> int:
    args = commands.masks_parser().parse_args(argv)
    return common.run("mfsa-masks", lambda: _sheet(args))


def _sheet(args: argparse.Namespace) -> int:
    if args.columns < 1:
        raise ConfigError(f"--columns: expected at least 1, found {args.columns}")
    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"{args.out}: expected a name ending in .png or .jpg")
    if args.chips is None:
        chips = [load_chip(portrait) for portrait in (COLLINS, HOPPER)]
    else:
        found = list(read_chips(args.chips))
        if not found:
            raise ConfigError(f"{args.chips}: no chips in it")
        chips = [
            decode(data, name)
            for name, data in found[:: max(1, len(found) // args.columns)][: args.columns]
        ]
    if not cv2.imwrite(str(args.out), sheet(chips, args.columns, args.seed)):
        raise ConfigError(f"{args.out}: cannot be written; does its folder exist?")
    print(f"look at {args.out}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
