"""Option parsers of the commands in `calibration`, importable without their libraries."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from calibration.cli import options
from edge.bundle import DETECTOR_SIZES
from edge.cli import common

# Least cosine of a few hundred chips; of thousands it is lower, and the gate requires 0.98.
BOUND = 0.99
TARGET_FMR = 1e-5  # FPIR of 1 % at 1,000 templates
BONA_FIDE, ATTACK = "bona_fide", "attack"
LIVENESS_LAYERS = ("challenge", "screen", "motion")
_FPS = 15.0


def prepare_parser() -> argparse.ArgumentParser:
    """Options of mfsa-prepare."""
    parser = common.parser(
        "mfsa-prepare",
        "Turn photos into aligned chips for training and evaluation, with the terminal's own "
        "detector and alignment, so that training and terminal have the same input. A photo "
        "without a usable face is refused with a reason.",
        "mfsa-prepare photos --detector bundle --out faces.tar --contact-sheet sheet.jpg",
    )
    parser.add_argument(
        "photos",
        type=Path,
        metavar="PHOTOS",
        help="folder or .tar of <identity>/<image>; deeper folders are flattened",
    )
    parser.add_argument(
        "--detector",
        type=Path,
        required=True,
        help="bundle folder, or only the ONNX file of the detector",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a .tar file or a folder; OUT.report.json and OUT.refused.csv are written next to it",
    )
    _add_preparing(parser)
    return parser


def _add_preparing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size",
        choices=DETECTOR_SIZES,
        default=DETECTOR_SIZES[0],
        help="input size of the detector (default %(default)s)",
    )
    parser.add_argument(
        "--face", choices=("largest", "only"), default="largest",
        help="several faces: use the most prominent one by size, distance from the centre and "
        "visible part, or refuse the photo",
    )  # fmt: skip
    parser.add_argument(
        "--min-eyes",
        type=float,
        default=12.0,
        metavar="PX",
        help="least distance between the eyes (default %(default)g)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(8, os.cpu_count() or 1),
        help="worker processes (default: one per core, at most 8); 0: none",
    )
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="FILE",
        help="write a .jpg or .png with up to 64 chips, for a visual check",
    )
    parser.add_argument("--replace", action="store_true", help="replace --out if it exists")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def masks_parser() -> argparse.ArgumentParser:
    """Options of mfsa-masks."""
    parser = common.parser(
        "mfsa-masks",
        "Draw a contact sheet of all mask families, other occluders and the frozen protocols, on "
        "the demo's portraits or your chips.",
        "mfsa-masks sheet.png --chips faces.tar",
    )
    parser.add_argument("out", type=Path, help=".png or .jpg")
    parser.add_argument(
        "--chips",
        type=Path,
        help=".tar file or folder of aligned chips; default: the two public-domain portraits",
    )
    parser.add_argument(
        "--columns", type=int, default=10, help="chips in a row (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the drawings (default %(default)s)"
    )
    return parser


def quantize_parser() -> argparse.ArgumentParser:
    """Options of mfsa-quantize."""
    parser = common.parser(
        "mfsa-quantize",
        "Quantise an FP32 embedder to INT8 (Q/DQ): try four ways to choose ranges on real chips, "
        "bare and masked, measure each on other chips, and keep the most sensitive layers in "
        "float until the cosine reaches the bound.",
        "mfsa-quantize --embedder embedder.onnx --chips faces.tar --out embedder-int8.onnx "
        "--report int8.json --plot int8.png",
    )
    parser.add_argument(
        "--embedder", type=Path, required=True, help="FP32 ONNX file of mfsa-export"
    )
    options.add_chips(parser)
    options.add_all_identities(parser)
    options.add_max_chips(parser, 512, "chips: half set the ranges, half measure")
    parser.add_argument(
        "--bound",
        type=float,
        default=BOUND,
        help="least cosine on the chips that are measured (default %(default)s)",
    )
    parser.add_argument(
        "--keep-ends-float", action="store_true", help="keep the first and last layer in float"
    )
    parser.add_argument("--out", type=Path, required=True, help="INT8 ONNX file to write")
    parser.add_argument("--report", type=Path, help="write methods, sensitivity and steps as JSON")
    parser.add_argument("--plot", type=Path, help="write a .png with the sensitivity of each layer")
    return parser


def _add_measured_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--embedder", type=Path, help="ONNX file")
    model.add_argument(
        "--bundle",
        type=Path,
        help="complete bundle; the thresholds are written into its manifest",
    )
    model.add_argument(
        "--config",
        type=Path,
        help="YAML file of a terminal: check its thresholds against its enrolled people",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "int8"),
        default="fp32",
        help="precision of the bundle's embedder (default %(default)s)",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="measure the bundle's TensorRT engine instead of its ONNX file",
    )


def threshold_parser() -> argparse.ArgumentParser:
    """Options of mfsa-threshold."""
    parser = common.parser(
        "mfsa-threshold",
        "Determine the thresholds for unmasked and masked probes, with bootstrap bounds over "
        "people, the FPIR by gallery size and the smallest FMR that the data supports. With "
        "--config: "
        "check a site's own enrolled people against them.",
        "mfsa-threshold --embedder embedder.onnx --chips faces/a.tar faces/b.tar --fpir 0.01 "
        "--gallery 500 --out thresholds.json",
    )
    _add_measured_model(parser)
    parser.add_argument(
        "--chips", type=Path, nargs="+", help=".tar files or folders of <person>/<image>, unmasked"
    )
    parser.add_argument(
        "--real-masks",
        type=Path,
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="photos with a real mask (m_<image>) and bare photos of the same people: impostors "
        "that can raise the masked threshold, and the least expected similarity; without them no "
        "face is refused as hidden",
    )
    options.add_all_identities(parser)
    parser.add_argument(
        "--target-fmr", type=float, help=f"default {TARGET_FMR:g}: FPIR 1%% at 1,000 templates"
    )
    parser.add_argument("--fpir", type=float, help="target FPIR instead of an FMR, with --gallery")
    parser.add_argument("--gallery", type=int, help="number of templates for --fpir")
    parser.add_argument(
        "--description", default="", help="description of the data for the manifest"
    )
    parser.add_argument("--det", type=Path, help="write a DET plot (.png)")
    parser.add_argument("--out", type=Path, help="write the thresholds (JSON)")
    return parser


def voting_parser() -> argparse.ArgumentParser:
    """Options of mfsa-voting."""
    parser = common.parser(
        "mfsa-voting",
        "Count false and missed grants of a single-frame policy and of voting, on streams made of "
        "people's photos, bare and masked.",
        "mfsa-voting --bundle build/bundle --chips people.tar --markdown voting.md",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        required=True,
        help="bundle whose FP32 embedder and thresholds are used",
    )
    options.add_chips(parser, "bare or with real masks (m_<image>)")
    options.add_all_identities(parser)
    parser.add_argument(
        "--galleries",
        type=int,
        nargs="+",
        default=[10, 100, 1000],
        help="sizes of the galleries (default 10 100 1000)",
    )
    parser.add_argument(
        "--thresholds",
        type=float,
        nargs=2,
        metavar=("UNMASKED", "MASKED"),
        help="thresholds for all galleries, instead of the bundle's",
    )
    options.add_reports(parser)
    return parser


def pad_parser() -> argparse.ArgumentParser:
    """Options of mfsa-pad."""
    parser = common.parser(
        "mfsa-pad",
        "Play recorded clips of living people and of attacks to the liveness layers, and count "
        "APCER per species, BPCER and non-response. Not a certification.",
        "mfsa-pad clips --bundle build/bundle --layers motion screen",
    )
    parser.add_argument(
        "tree", type=Path, help=f"folder with {BONA_FIDE}/<clip> and {ATTACK}/<species>/<clip>"
    )
    parser.add_argument("--bundle", type=Path, required=True, help="bundle whose detector is used")
    parser.add_argument(
        "--layers",
        nargs="+",
        choices=LIVENESS_LAYERS,
        default=["motion", "screen"],
        help="liveness layers (default: motion and screen)",
    )
    parser.add_argument(
        "--fps",
        type=float,
        default=_FPS,
        help="frame rate of folders of pictures (default %(default)s)",
    )
    options.add_reports(parser)
    return parser
