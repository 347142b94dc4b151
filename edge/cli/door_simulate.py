"""`edge-door simulate-reader`: a card or PIN at a simulated reader."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from edge.cli import common
from edge.config import load_config
from edge.config.readers import SimulatedReaderConfig
from edge.door.readers.card_formats import parse_card
from edge.door.readers.events import PinEntered
from edge.door.readers.simulated import send_line
from edge.errors import ConfigError, DoorError
from edge.system.text import format_names

NAME = "simulate-reader"


def add_command(commands: Any) -> None:
    """Add the parser."""
    text = "present a card or enter a PIN at a reader of kind simulated, without hardware"
    epilog = f"example:\n  edge-door {NAME} entry --card 26:1:1001 --config terminal.yaml"
    sub = commands.add_parser(NAME, help=text, description=text, epilog=epilog)
    common.add_config(sub)
    sub.add_argument("reader", metavar="READER", help="name in `door.readers`")
    what = sub.add_mutually_exclusive_group(required=True)
    what.add_argument("--card", type=_card, metavar="CARD", help="a card such as 26:1:1001")
    what.add_argument(
        "--pin",
        action="store_true",
        help="ask for the digits, or read them from a line of standard input",
    )
    sub.set_defaults(action=_simulate)


def _simulate(args: argparse.Namespace) -> int:
    readers = {reader.name: reader for reader in load_config(args.config).door.readers}
    reader = readers.get(args.reader)
    if reader is None:
        raise DoorError(
            f"{NAME}: {args.reader!r} is not in `door.readers`; readers: {format_names(readers)}"
        )
    if not isinstance(reader, SimulatedReaderConfig):
        raise DoorError(
            f"{NAME}: {args.reader} is of kind {reader.kind}, and takes cards and PINs from its "
            "hardware only; name a reader of kind simulated"
        )
    send_line(reader.path, f"card {args.card}" if args.card else f"pin {_ask_pin()}")
    print(f"sent to {args.reader}; edge-audit show --record door has the answer")
    return common.DONE


def _ask_pin() -> str:
    text = getpass.getpass("PIN: ") if sys.stdin.isatty() else sys.stdin.readline().strip()
    try:
        return PinEntered(text).digits
    except ValueError as error:
        raise ConfigError("PIN: expected digits such as 2468, found something else") from error


def _card(text: str) -> str:
    try:
        parse_card(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
