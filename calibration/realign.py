"""How far the detector's landmarks move a chip, bare and under a mask: `python -m calibration.realign` measures it.

What it finds sets the jitter of the alignment in training (`train.data`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration.chips import decode, has_real_mask, is_validation, read_chips
from edge import chip as chips
from edge import masks
from edge.bundle import detector_network, open_bundle
from edge.cli import common
from edge.engine import open_engine
from edge.errors import ConfigError
from edge.face.detect import FaceDetector

_BORDER = 40  # pixels around a chip when a face is looked for in it again
_MIN_SCORE = 0.5
_DETECTOR = "320x256"

Picture = NDArray[np.uint8]


def find_again(chip: Picture, detector: FaceDetector) -> tuple[Picture, NDArray[np.float32]] | None:
    """The chip with a border, and the landmarks (5,2) that the detector finds in it; None where it finds no face."""
    wide = np.pad(chip, ((_BORDER, _BORDER), (_BORDER, _BORDER), (0, 0)), mode="edge")
    middle = np.array([wide.shape[1], wide.shape[0]]) / 2
    for face in detector.detect(wide):
        if np.abs(face.box_xyxy.reshape(2, 2).mean(axis=0) - middle).max() < chips.SIZE / 2:
            return wide, face.landmarks_xy
    return None


def movement(landmarks_xy: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """What `chip.align` by these landmarks (5,2) of `find_again` does to a chip that was aligned before.

    Degrees, logarithm of the scale, and pixels to the right and down at the middle of the chip.
    """
    transform = chips.similarity(landmarks_xy, chips.REFERENCE_XY)
    middle = np.full(2, chips.SIZE / 2)
    moved = transform[:, :2] @ (middle + _BORDER) + transform[:, 2] - middle
    angle, scale = (
        np.arctan2(transform[1, 0], transform[0, 0]),
        np.hypot(transform[0, 0], transform[1, 0]),
    )
    return float(np.degrees(angle)), float(np.log(scale)), float(moved[0]), float(moved[1])


def spread(views: Iterable[Picture], detector: FaceDetector) -> tuple[NDArray[np.float64], float]:
    """Half the distance from the 16th to the 84th percentile of each movement (4,), and the share of faces not found."""
    moved, looked_at = [], 0
    for view in views:
        looked_at += 1
        if (again := find_again(view, detector)) is not None:
            moved.append(movement(again[1]))
    if not moved:
        raise ConfigError(
            f"no face was found again in {looked_at:,} chips; are they aligned faces?"
        )
    low, high = np.percentile(moved, (16, 84), axis=0)
    return (high - low) / 2, 1 - len(moved) / looked_at


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "python -m calibration.realign",
        "Measure how far a chip moves when the detector finds its landmarks again, bare and under each mask family of training.",
        "python -m calibration.realign --chips faces.tar --bundle build/bundle",
    )
    parser.add_argument(
        "--chips",
        type=Path,
        required=True,
        help=".tar file or folder of <person>/<image>; of those trained on",
    )
    parser.add_argument(
        "--bundle", type=Path, required=True, help="complete bundle, for its detector"
    )
    parser.add_argument("--most", type=int, default=300, help="chips (default %(default)s)")
    args = parser.parse_args(argv)
    return common.run("calibration.realign", lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle, chips.PREPROCESSING)
    engine = open_engine(bundle.onnx_path(detector_network(_DETECTOR), "fp32"), threads=1)
    detector = FaceDetector({_DETECTOR: engine}, _MIN_SCORE)
    read = [
        (name, data)
        for name, data in read_chips(args.chips)
        if not (is_validation(name.split("/")[0]) or has_real_mask(name))
    ]
    if args.most < 1 or not read:
        raise ConfigError(
            f"expected --most of 1 or more and chips in {args.chips}, found {args.most} and {len(read)}"
        )
    bare = [
        decode(data, name) for name, data in read[:: max(1, len(read) // args.most)][: args.most]
    ]
    print(
        f"{len(bare)} chips, detector at {_DETECTOR}; spread of rotation, scale, shift right, shift down; not found"
    )

    def worn(family: str) -> Iterable[Picture]:
        for i, chip in enumerate(bare):
            yield masks.draw(chip, masks.random_style(np.random.default_rng(i), (family,)))[0]

    rows = {"bare": bare, **{family: worn(family) for family in masks.TRAINED}}
    for name, views in tqdm(rows.items(), desc="families", disable=None):
        (turn, grow, right, down), lost = spread(views, detector)
        print(
            f"{name:10} {turn:4.1f} degrees  {grow:5.1%}  {right:4.1f} px  {down:4.1f} px  {lost:5.1%}"
        )
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
