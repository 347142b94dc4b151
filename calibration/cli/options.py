"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_chips(parser: argparse._ActionsContainer, what: str = "unmasked") -> None:
    """Add the required option --chips for one or several sources."""
    parser.add_argument(
        "--chips",
        type=Path,
        nargs="+",
        required=True,
        help=f".tar files or folders of <person>/<image>, {what}",
    )


def add_all_identities(parser: argparse._ActionsContainer) -> None:
    """Add --all-identities, which includes people that training may use."""
    parser.add_argument(
        "--all-identities",
        action="store_true",
        help="use all people, not only the tenth that training keeps apart",
    )


def add_max_chips(parser: argparse._ActionsContainer, default: int, what: str) -> None:
    """Add --max-chips; `what` names the chips that are limited."""
    parser.add_argument(
        "--max-chips",
        type=int,
        default=default,
        metavar="N",
        help=f"{what} (default %(default)s)",
    )


def add_reports(parser: argparse._ActionsContainer) -> None:
    """Add --json and --markdown for the results."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write a table of the results to FILE"
    )
