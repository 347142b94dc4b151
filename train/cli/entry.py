"""Entry points of the commands in `train`; libraries are imported after option parsing."""

from __future__ import annotations

from edge.cli import common
from train.cli import parsers


def train(argv: list[str] | None = None) -> int:
    """Run mfsa-train."""
    return common.run_module(parsers.train_parser(), argv, "train.cli.train", "train")


def evaluate(argv: list[str] | None = None) -> int:
    """Run mfsa-evaluate."""
    return common.run_module(parsers.evaluate_parser(), argv, "train.cli.evaluate", "train")
