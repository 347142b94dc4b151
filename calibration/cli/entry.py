"""Entry points of the commands in `calibration`; libraries are imported after option parsing."""

from __future__ import annotations

from calibration.cli import parsers
from edge.cli import common


def prepare(argv: list[str] | None = None) -> int:
    """Run mfsa-prepare."""
    return common.run_module(
        parsers.prepare_parser(), argv, "calibration.cli.prepare", "calibration"
    )


def masks(argv: list[str] | None = None) -> int:
    """Run mfsa-masks."""
    return common.run_module(parsers.masks_parser(), argv, "calibration.cli.masks", "calibration")


def quantize(argv: list[str] | None = None) -> int:
    """Run mfsa-quantize."""
    return common.run_module(
        parsers.quantize_parser(), argv, "calibration.cli.quantize", "calibration"
    )


def threshold(argv: list[str] | None = None) -> int:
    """Run mfsa-threshold."""
    return common.run_module(
        parsers.threshold_parser(), argv, "calibration.cli.threshold", "calibration"
    )


def voting(argv: list[str] | None = None) -> int:
    """Run mfsa-voting."""
    return common.run_module(parsers.voting_parser(), argv, "calibration.cli.voting", "calibration")


def pad(argv: list[str] | None = None) -> int:
    """Run mfsa-pad."""
    return common.run_module(parsers.pad_parser(), argv, "calibration.cli.pad", "calibration")
