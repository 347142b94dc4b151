"""Option parsers of the commands in `train`, importable without their libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

from calibration.cli import options
from edge.cli import common


def train_parser() -> argparse.ArgumentParser:
    """Options of mfsa-train."""
    parser = common.parser(
        "mfsa-train",
        "Train the MFSA network by a recipe; --resume continues a stopped run.",
        "mfsa-train --recipe train/recipes/workstation.yaml --data FACES --out runs/mine",
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file, see train/recipes/")
    _add_run(parser)
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="WEIGHTS",
        help="checkpoint or .safetensors with initial weights",
    )
    return parser


def adapt_parser() -> argparse.ArgumentParser:
    """Options of mfsa-adapt."""
    parser = common.parser(
        "mfsa-adapt",
        "Add mask recognition to an existing face encoder. The encoder stays as it is and answers "
        "for bare faces; a branch is trained to give the same embedding when a mask hides the "
        "face. Enrolled galleries of the encoder stay valid.",
        "mfsa-adapt w600k_mbf.onnx --recipe train/recipes/adapt.yaml --data FACES "
        "--licence 'non-commercial' --origin 'InsightFace buffalo_sc' --out runs/mine",
    )
    parser.add_argument(
        "encoder",
        type=Path,
        metavar="ENCODER",
        help="ONNX or TFLite file, state dict of arcface_torch or AdaFace, or own checkpoint",
    )
    parser.add_argument(
        "--input",
        metavar="FORM",
        help="input of the encoder, such as rgb-127.5 (colours minus 127.5, divided by 127.5), "
        "bgr-127.5, rgb-255 (0..255), rgb-1 (0..1), rgb-imagenet; default: measured on faces",
    )
    parser.add_argument(
        "--licence", required=True, help="licence of the encoder's weights, stored with the network"
    )
    parser.add_argument(
        "--origin", required=True, help="publisher and name of the encoder, stored with the network"
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file, see train/recipes/")
    _add_run(parser)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that contains the recipe's sources"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for checkpoint.pt, best.pt, log.jsonl and tensorboard/",
    )
    parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in --out")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change keys of the recipe, such as network.variant=none",
    )
    parser.add_argument(
        "--save-every",
        type=int,
        metavar="CHIPS",
        help="chips between two writes of checkpoint.pt; default: every three minutes",
    )


def evaluate_parser() -> argparse.ArgumentParser:
    """Options of mfsa-evaluate."""
    parser = common.parser(
        "mfsa-evaluate",
        "Measure embedders: verification of pairs, all against all, searches, real masks, and "
        "localization and faithfulness of the attention maps; clean, masked by the frozen "
        "protocol, by unseen mask families, and with other occluders.",
        "mfsa-evaluate embedder.onnx --pairs auto --chips people.tar --html report.html",
    )
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="ONNX file, bundle folder or checkpoint, or encoder.onnx of mfsa-adapt; "
        "NAME=FILE sets its name",
    )
    _add_data(parser)
    parser.add_argument(
        "--detector",
        type=Path,
        metavar="BUNDLE",
        help="also detect the landmarks of masked faces; default: a MODEL that is a bundle",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the headline figures only: no unseen families, no other occluders, no faithfulness",
    )
    _add_reports(parser)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data to measure on (at least one)")
    data.add_argument(
        "--pairs",
        help="list in LFW's format or of --write-pairs; auto: drawn from --chips, else --people",
    )
    data.add_argument("--chips", type=Path, help=".tar file or folder of the pairs' aligned chips")
    data.add_argument(
        "--seed", type=int, default=0, help="seed of --pairs auto (default %(default)s)"
    )
    data.add_argument(
        "--write-pairs", type=Path, metavar="FILE", help="write the pairs of --pairs auto"
    )
    data.add_argument(
        "--bin",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="verification sets of pickled pairs",
    )
    data.add_argument(
        "--people",
        type=Path,
        nargs="+",
        default=[],
        metavar="SOURCE",
        help=".tar or folders of <person>/<image>: all against all",
    )
    data.add_argument(
        "--real-masks",
        type=Path,
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="the same, with real masks in m_<image>",
    )
    options.add_all_identities(data)


def _add_reports(parser: argparse.ArgumentParser) -> None:
    options.add_reports(parser)
    parser.add_argument(
        "--html",
        type=Path,
        help="write an HTML report, one file with all pictures",
    )
    parser.add_argument(
        "--show-faces",
        action="store_true",
        help="show chips of the data in the report, otherwise only public-domain portraits",
    )
