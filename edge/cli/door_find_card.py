"""`edge-door person find-card`: names the person who has a card."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any

from edge.cli import common
from edge.cli.door_commands import add_reason
from edge.config import load_config
from edge.door.client import DoorClient
from edge.door.commands import AccessCommand
from edge.door.credentials import load_credentials
from edge.door.events import describe_refusal
from edge.door.readers.card_formats import parse_card
from edge.door.readers.events import CardRead
from edge.errors import DoorError
from edge.people.rights import check_may_change


def add_command(actions: Any) -> None:
    """Add the parser."""
    text = "name the person who has a card; the audit log gets the question, not the card"
    epilog = (
        "example:\n  edge-door person find-card 26:12:3456 --reason 'found in the hall' "
        "--config /etc/mfsa-edge/terminal.yaml"
    )
    sub = actions.add_parser("find-card", help=text, description=text, epilog=epilog)
    add_reason(sub)
    sub.add_argument(
        "card", type=card_argument, metavar="CARD", help="card as in `edge-door person set --card`"
    )
    sub.set_defaults(action=_find_card)


def card_argument(text: str) -> CardRead:
    """Return the card of an argument. Raises ArgumentTypeError."""
    try:
        return parse_card(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _find_card(args: argparse.Namespace) -> int:
    """Print the holder of a card once the door has recorded the question."""
    config = load_config(args.config)
    check_may_change(config)
    credentials = load_credentials(config.people_path, config.people_key_path)
    if credentials.damage:
        raise DoorError(credentials.damage)
    holder = credentials.find_card(args.card)
    name = "" if holder is None else holder.name
    with closing(DoorClient(config.socket_path)) as client:
        refused = client.command(AccessCommand.FIND_CARD.value, args.reason, name)
    if refused is not None:
        raise DoorError(f"find-card: the door refused: {describe_refusal(refused)}")
    if holder is None:
        raise DoorError("find-card: no person of this door has this card")
    print(name)
    return common.DONE
