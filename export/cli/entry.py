"""Entry points of the commands in `export`; libraries are imported after option parsing."""

from __future__ import annotations

from edge.cli import common
from export.cli import parsers


def export(argv: list[str] | None = None) -> int:
    """Run mfsa-export."""
    return common.run_module(parsers.export_parser(), argv, "export.cli.export", "export")


def bundle(argv: list[str] | None = None) -> int:
    """Run mfsa-bundle."""
    return common.run_module(parsers.bundle_parser(), argv, "export.cli.bundle", "export")


def build_engine(argv: list[str] | None = None) -> int:
    """Run mfsa-build-engine."""
    return common.run_module(
        parsers.build_engine_parser(), argv, "export.cli.build_engine", "export"
    )


def parity(argv: list[str] | None = None) -> int:
    """Run mfsa-parity."""
    return common.run_module(parsers.parity_parser(), argv, "export.cli.parity", "export")
