"""Option parsers of the commands in `train`, importable without their libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.cli import common


def train_parser() -> argparse.ArgumentParser:
    """Options of mfsa-train."""
    parser = common.parser(
        "mfsa-train",
        "Train the MFSA network by a recipe; a run that was stopped goes on with --resume.",
        "mfsa-train --recipe train/recipes/workstation.yaml --data FACES --out runs/mine",
    )
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file, see train/recipes/")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that the recipe's sources are under"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for checkpoint.pt, best.pt, log.jsonl and tensorboard/",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="WEIGHTS",
        help="checkpoint or .safetensors to begin with",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change keys of the recipe: network.variant=none",
    )
    parser.add_argument(
        "--save-every",
        type=int,
        metavar="CHIPS",
        help="chips between two writes of checkpoint.pt; default: every three minutes",
    )
    return parser


def evaluate_parser() -> argparse.ArgumentParser:
    """Options of mfsa-evaluate."""
    parser = common.parser(
        "mfsa-evaluate",
        "Measure embedders: verification of pairs, all against all, searches, real masks, and the "
        "attention maps with their reliability; clean, masked by the frozen exam, by unseen mask "
        "families, and with other occlusions.",
        "mfsa-evaluate embedder.onnx --pairs auto --chips people.tar --html report.html",
    )
    parser.add_argument(
        "models",
        type=Path,
        nargs="+",
        metavar="MODEL",
        help="ONNX file, bundle folder, or checkpoint; NAME=FILE names it",
    )
    _add_data(parser)
    parser.add_argument(
        "--detector",
        type=Path,
        metavar="BUNDLE",
        help="also find the landmarks of masked faces again; default: a MODEL that is a bundle",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the headline figures only: no unseen families, no other occluders, no trust",
    )
    _add_reports(parser)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("what to measure on (at least one)")
    data.add_argument(
        "--pairs",
        help="list in LFW's format or of --write-pairs; auto: drawn from --chips, else --people",
    )
    data.add_argument("--chips", type=Path, help=".tar file or folder of the pairs' aligned chips")
    data.add_argument("--seed", type=int, default=0, help="of --pairs auto (default %(default)s)")
    data.add_argument(
        "--write-pairs", type=Path, metavar="FILE", help="write the pairs of --pairs auto there"
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
        help="the same; the person in m_<image> wears a real mask",
    )
    data.add_argument(
        "--all-identities",
        action="store_true",
        help="all people of these, not only the tenth that training keeps apart",
    )


def _add_reports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument(
        "--html",
        type=Path,
        help="write a report for people there, one file with all pictures in it",
    )
    parser.add_argument(
        "--markdown", type=Path, help="write the summary of all models there as a table"
    )
    parser.add_argument(
        "--show-faces",
        action="store_true",
        help="put chips of the data into the report; without it only public-domain portraits",
    )
