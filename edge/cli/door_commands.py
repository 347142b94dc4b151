"""Operator commands of `edge-door`, sent over the door's socket."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

from edge.cli import common
from edge.config import load_config
from edge.config.lane import LABEL_PATTERN
from edge.door.access_commands import PEOPLE_MAX
from edge.door.client import DoorClient
from edge.door.commands import DOOR_COMMANDS, TARGET_COMMANDS, AccessCommand
from edge.door.events import describe_refusal
from edge.door.protocol import check_reason
from edge.errors import DoorError

# Option for all people or readers instead of a name, and an example of arguments.
_NAMED: Mapping[str, tuple[str, str]] = {
    AccessCommand.RESET_ANTI_PASSBACK.value: ("--all", "Ada --reason 'left by the fire exit'"),
    AccessCommand.RESET_USES.value: ("", "Ada --reason 'comes again next week'"),
    AccessCommand.ERASE_PERSON.value: ("", "Ada --reason 'withdrawn consent'"),
    AccessCommand.RESET_LOCKOUT.value: ("--all", "entry --reason 'a child played with the keypad'"),
}
NAMES = (*DOOR_COMMANDS, *TARGET_COMMANDS)


def add_commands(commands: Any) -> None:
    """Add the parsers of all operator commands."""
    for name, text in DOOR_COMMANDS.items():
        sub = _add(commands, name, text, "--reason 'delivery'")
        sub.set_defaults(action=lambda args: send(args, args.command, ""))
    for name, (every, example) in _NAMED.items():
        sub = _add(commands, name, TARGET_COMMANDS[name], example)
        sub.add_argument(
            "name",
            type=common.subject_name,
            nargs="?" if every else None,
            metavar="NAME",
            help="name of the person" if name != "reset-lockout" else "name of person or reader",
        )
        if every:
            sub.add_argument(every, action="store_true", dest="every", help="instead of a name")
        sub.set_defaults(action=_send_named, every=False)
    name = AccessCommand.SET_ZONE.value
    sub = _add(commands, name, TARGET_COMMANDS[name], "lab 3 --reason 'counted'")
    sub.add_argument("zone", type=_zone, metavar="ZONE", help="name in `access.zones`")
    sub.add_argument(
        "people",
        type=common.whole_number(0, PEOPLE_MAX),
        metavar="PEOPLE",
        help="number of people inside",
    )
    sub.set_defaults(action=lambda args: send(args, args.command, f"{args.zone}={args.people}"))


def add_reason(sub: argparse.ArgumentParser) -> None:
    """Add the options of all operator commands."""
    common.add_config(sub)
    sub.add_argument(
        "--reason", type=_reason, required=True, metavar="TEXT", help="why, for the audit log"
    )


def send(args: argparse.Namespace, command: str, argument: str) -> int:
    """Send a command and print the answer. Raises DoorError if it is refused."""
    client = DoorClient(load_config(args.config).socket_path)
    try:
        refused = client.command(command, args.reason, argument)
    finally:
        client.close()
    if refused is not None:
        raise DoorError(f"{command}: the door refused: {describe_refusal(refused)}")
    print(f"done, but {client.warning}" if client.warning else "done")
    return common.DONE


def _add(commands: Any, name: str, text: str, example: str) -> argparse.ArgumentParser:
    epilog = f"example:\n  edge-door {name} {example} --config /etc/mfsa-edge/terminal.yaml"
    sub: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=epilog
    )
    add_reason(sub)
    return sub


def _send_named(args: argparse.Namespace) -> int:
    if (args.name is None) != args.every:
        raise DoorError(f"{args.command}: expected a name such as Ada, or --all")
    return send(args, args.command, args.name or "")


def _zone(text: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, text):
        raise argparse.ArgumentTypeError(
            f"expected the name of a zone, such as lab, found {text!r}"
        )
    return text


def _reason(text: str) -> str:
    try:
        check_reason(text)
    except DoorError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
