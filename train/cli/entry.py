"""Entry points of the commands in `train`; libraries are imported after option parsing."""

from __future__ import annotations

from edge.cli import common
from train.cli import parsers


def train(argv: list[str] | None = None) -> int:
    """Run mfsa-train."""
    return common.run_module(parsers.train_parser(), argv, "train.cli.train", "train")


def adapt(argv: list[str] | None = None) -> int:
    """Run mfsa-adapt."""
    return common.run_module(parsers.adapt_parser(), argv, "train.cli.adapt", "train")


def evaluate(argv: list[str] | None = None) -> int:
    """Run mfsa-evaluate."""
    return common.run_module(parsers.evaluate_parser(), argv, "train.cli.evaluate", "train")
