"""Option parsers of the commands in `export`, importable without their libraries."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from calibration.cli import options
from edge.bundle import NETWORKS
from edge.cli import common
from edge.system.digest import SHA256_PATTERN

_MAX_CHIPS = 500


def export_parser() -> argparse.ArgumentParser:
    """Options of mfsa-export."""
    parser = common.parser(
        "mfsa-export",
        "Export a checkpoint to ONNX and compare both on real chips; fails below a cosine of "
        "0.9999 (FP16: 0.999).",
        "mfsa-export --checkpoint runs/mine/best.pt --out embedder.onnx --chips people.tar",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        help="checkpoint.pt of a run, or .safetensors weights",
    )
    parser.add_argument("--out", type=Path, required=True, help="ONNX file to write")
    parser.add_argument("--batch", type=int, help="fixed batch size; default: dynamic")
    parser.add_argument("--half", type=Path, help="also write a half-precision ONNX file")
    parser.add_argument(
        "--explanation",
        type=Path,
        help="also write the ONNX file that splits scores over the face, for mfsa-bundle pack; "
        "needs --chips",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        help="also write half-precision weights (.safetensors), to fine-tune from",
    )
    parser.add_argument(
        "--chips",
        type=Path,
        nargs="*",
        default=[],
        help="more chips to compare on: .tar files or folders",
    )
    parser.add_argument("--unfinished", action="store_true", help="export an incomplete run")
    options.add_max_chips(parser, _MAX_CHIPS, "chips of each source")
    return parser


def bundle_parser() -> argparse.ArgumentParser:
    """Options of mfsa-bundle."""
    parser = common.parser(
        "mfsa-bundle", "Make or check a model bundle.", "mfsa-bundle make build/bundle"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="make|check|pack")
    _add_making(
        commands.add_parser("make", help="a complete bundle: embedder, thresholds, detector")
    )
    checking = commands.add_parser("check", help="digests and parity of a bundle")
    checking.add_argument("bundle", type=Path, help="folder to check")
    _add_use(checking)
    _add_packing(
        commands.add_parser("pack", help="a bundle without detector from a trained embedder")
    )
    return parser


def _digest(text: str) -> str:
    if not re.fullmatch(SHA256_PATTERN, text):
        raise argparse.ArgumentTypeError(f"expected 64 hex digits of a sha256, found {text!r}")
    return text


def _add_use(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--use",
        choices=("commercial",),
        help="refuse a bundle whose provenance list does not permit this use",
    )


def _add_making(making: argparse.ArgumentParser) -> None:
    making.add_argument("out", type=Path, help="folder to write")
    making.add_argument(
        "--from",
        dest="base",
        type=Path,
        help="folder made by `pack`; default: the reference of this package",
    )
    making.add_argument("--replace", action="store_true", help="replace the folder if it exists")
    making.add_argument(
        "--liveness", type=Path, help="ONNX network of the layer `passive`, see docs/decision.md"
    )
    making.add_argument(
        "--liveness-threshold",
        type=float,
        default=0.5,
        help="least probability of a living face (default %(default)s)",
    )
    making.add_argument(
        "--liveness-licence", default="of its makers", help="licence of its weights, one line"
    )
    making.add_argument(
        "--liveness-provenance",
        type=Path,
        metavar="FILE",
        help="YAML file with its provenance list, see docs/licences.md; default: unknown",
    )
    _add_use(making)


def _add_packing(packing: argparse.ArgumentParser) -> None:
    packing.add_argument("out", type=Path, help="folder to write")
    packing.add_argument("--name", required=True, help="name of the model")
    packing.add_argument("--embedder", type=Path, required=True, help="ONNX file of mfsa-export")
    packing.add_argument("--thresholds", type=Path, required=True, help="JSON of mfsa-threshold")
    packing.add_argument("--accuracy", type=Path, required=True, help="JSON of mfsa-evaluate")
    packing.add_argument("--int8", type=Path, help="ONNX file of mfsa-quantize")
    packing.add_argument("--int8-thresholds", type=Path, help="JSON of mfsa-threshold for it")
    packing.add_argument(
        "--int8-accuracy",
        type=Path,
        help="JSON of mfsa-evaluate for it; default: that of --accuracy",
    )
    packing.add_argument("--explanation", type=Path, help="ONNX file of mfsa-export --explanation")
    packing.add_argument("--data", required=True, help="training data, one line")
    packing.add_argument(
        "--licence",
        required=True,
        help="licence of the weights, one line; a LICENSE in the folder is kept",
    )
    packing.add_argument(
        "--limits", type=Path, help="Markdown file with further limits for the model card"
    )
    packing.add_argument(
        "--provenance",
        type=Path,
        metavar="FILE",
        help="YAML file with licence and origin of weights and data, see docs/licences.md",
    )
    packing.add_argument(
        "--compatible-with",
        type=_digest,
        nargs="+",
        default=[],
        metavar="SHA256",
        help="sha256 of other embedders or encoders whose templates this embedder accepts, such as "
        "the base encoder of an adapted embedder",
    )
    _add_use(packing)


def build_engine_parser() -> argparse.ArgumentParser:
    """Options of mfsa-build-engine."""
    parser = common.parser(
        "mfsa-build-engine",
        "Build the TensorRT engines of a bundle on this device and compare each with the FP32 "
        "network on real chips; an engine that differs is deleted. With an INT8 embedder the "
        "detector is built in FP16.",
        "mfsa-build-engine build/bundle --precision int8",
    )
    parser.add_argument(
        "bundle", type=Path, help="complete bundle made by mfsa-bundle; plans are written into it"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        default="fp16",
        help="precision of the engines (default %(default)s)",
    )
    parser.add_argument(
        "--network",
        choices=NETWORKS,
        nargs="+",
        default=NETWORKS,
        metavar="NAME",
        help="networks to build (default: all)",
    )
    parser.add_argument(
        "--batch", type=int, default=4, help="largest batch of the embedder (default %(default)s)"
    )
    parser.add_argument(
        "--workspace",
        type=int,
        default=1024,
        metavar="MIB",
        help="memory for building (default %(default)s)",
    )
    parser.add_argument(
        "--timing-cache", type=Path, help="file that makes the next build on this device fast"
    )
    _add_variants(parser)
    return parser


def _add_variants(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dla",
        type=int,
        metavar="CORE",
        help="build for a DLA and list the layers that fall back to the GPU",
    )
    parser.add_argument(
        "--chips", type=Path, help="a site's aligned chips, compared in addition to the bundle's"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="CHIPS",
        help="INT8 by TensorRT's own calibrator instead of Q/DQ: TensorRT 8 to 10",
    )
    parser.add_argument(
        "--rtx",
        action="store_true",
        help="build with TensorRT for RTX, which does not run on a Jetson",
    )
    parser.add_argument(
        "--compute-capability",
        metavar="X.Y",
        help="with --rtx, for a GPU of another machine, such as 8.6",
    )


def parity_parser() -> argparse.ArgumentParser:
    """Options of mfsa-parity."""
    parser = common.parser(
        "mfsa-parity",
        "Compare forms of one embedder (checkpoint, ONNX, INT8 ONNX, TensorRT plan) with a "
        "reference on the same chips: portraits plain, masked, dark, blurred and with swapped "
        "colours, and your own. Exit code 1 if a form is out of its bounds.",
        "mfsa-parity embedder.onnx embedder-int8.onnx --chips faces.tar",
    )
    parser.add_argument("reference", type=Path, help="FP32 ONNX file, checkpoint, or bundle folder")
    parser.add_argument(
        "candidates", type=Path, nargs="+", metavar="FILE", help="other forms of the embedder"
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "fp16", "int8"),
        help="precision whose bounds apply; default: that of the file",
    )
    parser.add_argument(
        "--chips", type=Path, help="more chips: a .tar file or folder of <person>/<image>"
    )
    options.add_max_chips(parser, _MAX_CHIPS, "chips of --chips")
    parser.add_argument(
        "--pairs",
        type=Path,
        help="list in LFW's format: also compare verification figures, with --pair-chips",
    )
    parser.add_argument(
        "--pair-chips", type=Path, help=".tar file or folder of the list's aligned chips"
    )
    parser.add_argument("--json", type=Path, help="write results and figures as JSON")
    return parser
