"""Command `mfsa-quantize`: quantise an embedder to INT8."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx
from onnx import helper

from calibration.chips import validation_chips
from calibration.cli import parsers
from calibration.int8.quantize import FEWEST_CHIPS, quantize
from calibration.int8.report import QuantizationReport, write_plot
from calibration.prelu import join_prelu
from edge.bundle import file_digest
from edge.cli import common
from edge.errors import ConfigError


def main(argv: list[str] | None = None) -> int:
    args = parsers.quantize_parser().parse_args(argv)
    return common.run("mfsa-quantize", lambda: _quantize(args))


def _quantize(args: argparse.Namespace) -> int:
    if not 0 < args.bound < 1 or args.max_chips < FEWEST_CHIPS:
        raise ConfigError(
            f"expected --bound between 0 and 1 and --max-chips of {FEWEST_CHIPS} or more, "
            f"found {args.bound} and {args.max_chips}"
        )
    common.check_output_files(args.out, args.report, args.plot)
    model = join_prelu(_load(args.embedder))  # for TensorRT
    folder = validation_chips(args.chips, all_identities=args.all_identities)
    result, report = quantize(
        model,
        folder,
        max_chips=args.max_chips,
        bound=args.bound,
        keep_ends_float=args.keep_ends_float,
    )
    helper.set_model_props(result, _properties(model, args.embedder, report))
    onnx.save(result, args.out)
    if args.report:
        args.report.write_text(report.to_json(), encoding="utf-8")
    if args.plot:
        write_plot(report, args.plot)
    print(report.text())
    share = args.out.stat().st_size / args.embedder.stat().st_size
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {share:.0%} of the FP32 file")
    return common.DONE


def _load(path: Path) -> onnx.ModelProto:
    """Load an ONNX file; raises ConfigError."""
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's DecodeError has no public home
        raise ConfigError(f"{path}: expected an ONNX file of mfsa-export: {error}") from error


def _properties(model: onnx.ModelProto, path: Path, report: QuantizationReport) -> dict[str, str]:
    """Return the properties of the source file with the lineage of the INT8 file."""
    known = {entry.key: entry.value for entry in model.metadata_props}
    return known | {
        "source_sha256": file_digest(path),
        "int8_ranges": report.method,
        "int8_calibration": report.calibration_digest,
        "int8_float_layers": ",".join(report.float_layers),
    }


if __name__ == "__main__":
    sys.exit(main())
