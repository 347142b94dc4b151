"""Measure the landmark jitter: `python -m calibration.cli.landmark_jitter`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from calibration.chips import decode_chip, has_real_mask, is_validation_identity, read_chips
from calibration.cli import options
from calibration.landmark_jitter import DETECTOR, MIN_SCORE, Picture, measure_jitter
from edge import chip as chips
from edge import masks
from edge.bundle import detector_network, open_bundle
from edge.cli import common
from edge.errors import ConfigError
from edge.face.detect import open_detector


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "python -m calibration.cli.landmark_jitter",
        "Measure how far a chip moves if its landmarks are detected again: bare, and with each "
        "mask family of training.",
        "python -m calibration.cli.landmark_jitter --chips faces.tar --bundle build/bundle",
    )
    parser.add_argument(
        "--chips",
        type=Path,
        required=True,
        help=".tar file or folder of <person>/<image> that training uses",
    )
    parser.add_argument(
        "--bundle", type=Path, required=True, help="complete bundle, for its detector"
    )
    options.add_max_chips(parser, 300, "chips")
    args = parser.parse_args(argv)
    return common.run("calibration.cli.landmark_jitter", lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle, chips.PREPROCESSING)
    models = {DETECTOR: bundle.onnx_path(detector_network(DETECTOR), "fp32")}
    detector = open_detector(models, min_score=MIN_SCORE, threads=1)
    read = [
        (name, data)
        for name, data in read_chips(args.chips)
        if not (is_validation_identity(name.split("/")[0]) or has_real_mask(name))
    ]
    if args.max_chips < 1 or not read:
        raise ConfigError(
            f"expected --max-chips of 1 or more and chips in {args.chips}, "
            f"found {args.max_chips} and {len(read)}"
        )
    bare = [
        decode_chip(data, name)
        for name, data in read[:: max(1, len(read) // args.max_chips)][: args.max_chips]
    ]
    print(
        f"{len(bare)} chips, detector at {DETECTOR}; jitter of rotation, scale, shift right, "
        "shift down; faces not found"
    )

    def worn(family: str) -> Iterable[Picture]:
        for i, chip in enumerate(bare):
            yield masks.draw(chip, masks.random_style(np.random.default_rng(i), (family,)))[0]

    rows = {"bare": bare, **{family: worn(family) for family in masks.TRAINED}}
    for name, views in tqdm(rows.items(), desc="families", disable=None):
        (rotation, scale, right, down), lost = measure_jitter(views, detector)
        print(
            f"{name:10} {rotation:4.1f} degrees  {scale:5.1%}  {right:4.1f} px  {down:4.1f} px  "
            f"{lost:5.1%}"
        )
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
