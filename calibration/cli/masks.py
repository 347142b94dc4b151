"""Command `mfsa-masks`: draw a contact sheet of masks and occluders."""

from __future__ import annotations

import argparse
import sys

import cv2

from calibration.chips import decode_chip, read_chips
from calibration.cli import parsers
from calibration.mask_sheet import draw_sheet
from edge.cli import common
from edge.errors import ConfigError
from edge.portraits import COLLINS, HOPPER, load_chip


def main(argv: list[str] | None = None) -> int:
    args = parsers.masks_parser().parse_args(argv)
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
            raise ConfigError(f"{args.chips}: contains no chips; name another source")
        chips = [
            decode_chip(data, name)
            for name, data in found[:: max(1, len(found) // args.columns)][: args.columns]
        ]
    if not cv2.imwrite(str(args.out), draw_sheet(chips, args.columns, args.seed)):
        raise ConfigError(f"{args.out}: cannot be written; make its folder first")
    print(f"written: {args.out}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
