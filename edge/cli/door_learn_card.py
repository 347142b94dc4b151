"""`edge-door person learn-card`: stores the card that is presented next at a reader."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from typing import Any

from edge.cli import common
from edge.cli.door_commands import add_reason
from edge.config import load_config
from edge.door.card_learner import LEARN_S, LearnState
from edge.door.client import DoorClient
from edge.door.commands import AccessCommand
from edge.door.credential_editor import edit_credentials
from edge.door.events import describe_refusal
from edge.errors import DoorError
from edge.people.rights import await_door, check_may_change

_POLL_S = 0.2
_NOT_LEARNED = {
    LearnState.REFUSED.value: "the card belongs to another person",
    LearnState.TIMED_OUT.value: "no card was presented in time",
    LearnState.NONE.value: "edge-door was restarted, or another card is being learned",
}


def add_command(actions: Any) -> None:
    """Add the parser."""
    text = "add the card that is presented next at a reader; it opens nothing meanwhile"
    epilog = (
        "example:\n  edge-door person learn-card Ada --reader entry --reason 'new card' "
        "--config /etc/mfsa-edge/terminal.yaml"
    )
    sub = actions.add_parser("learn-card", help=text, description=text, epilog=epilog)
    add_reason(sub)
    sub.add_argument("name", type=common.subject_name, metavar="NAME", help="name of the person")
    sub.add_argument("--reader", required=True, metavar="NAME", help="reader of `door.readers`")
    sub.set_defaults(action=_learn_card)


def _learn_card(args: argparse.Namespace) -> int:
    """Store the next card at a reader. Its number is neither sent nor printed."""
    config = load_config(args.config)
    check_may_change(config)
    with closing(DoorClient(config.socket_path)) as client:
        target = f"{args.reader}={args.name}"
        refused = client.command(AccessCommand.LEARN_CARD.value, args.reason, target)
        if refused is not None:
            raise DoorError(f"learn-card: the door refused: {describe_refusal(refused)}")
        print(f"present the card at reader {args.reader} within {LEARN_S:.0f} s", flush=True)
        state, digest = client.learned_card(target)
        while state == LearnState.WAITING:
            time.sleep(_POLL_S)
            state, digest = client.learned_card(target)
    if state != LearnState.LEARNED:
        raise DoorError(f"learn-card: {_NOT_LEARNED.get(state, state)}; nothing was changed")
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.add_card_digest(args.name, digest)
    await_door(config)
    print(f"{args.name}: the card is saved")
    return common.DONE
