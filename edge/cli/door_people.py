"""`edge-door person`: people of the door with their rights, cards and PINs."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from typing import Any

from edge.access.rules.values import AuthMode
from edge.cli import common
from edge.cli.door_commands import add_reason
from edge.cli.door_find_card import add_command as add_find_card
from edge.cli.door_find_card import card_argument
from edge.cli.door_learn_card import add_command as add_learn_card
from edge.config import TerminalConfig, load_config
from edge.door.access_point import build_access_point
from edge.door.credential_editor import CredentialEditor, edit_credentials
from edge.door.credentials_file import PersonEntry, read_document
from edge.door.readers.panel_cards import check_panel_card
from edge.errors import ConfigError, DoorError
from edge.names import name_key, parse_groups
from edge.parsing import parse_day
from edge.people.rights import (
    announce_change,
    await_door,
    describe_rights,
    erase_at_door,
    find_enrolled,
    lock_all_names,
)
from edge.system.text import format_count

_CONFIG = "--config /etc/mfsa-edge/terminal.yaml"
_TEXTS = {
    "set": "add a person, or change what is given; names are those of the enrolled people",
    "show": "show the rights of a person, and which credentials there are",
    "list": "list all people with a card, a PIN or other rights",
    "remove": "remove people who are not enrolled; edge-gallery remove removes all others",
}
_EXAMPLES = {
    "set": f"Ada --groups staff --card 26:12:3456 --pin --reason 'new employee' {_CONFIG}",
    "show": f"Ada {_CONFIG}",
    "list": f"--json {_CONFIG}",
    "remove": f"Ada --reason 'has left the company' {_CONFIG}",
}


def add_commands(commands: Any) -> None:
    """Add the parser of `person` with its subcommands."""
    text = "people of the door: groups, validity, visits, cards and PINs"
    person = commands.add_parser("person", help=text, description=text)
    actions = person.add_subparsers(dest="person_command", required=True, metavar="COMMAND")
    subs = {}
    for name, words in _TEXTS.items():
        epilog = f"example:\n  edge-door person {name} {_EXAMPLES[name]}"
        subs[name] = actions.add_parser(name, help=words, description=words, epilog=epilog)
    for name in ("set", "remove"):
        add_reason(subs[name])
    for name in ("show", "list"):
        common.add_config(subs[name])
        subs[name].add_argument("--json", action="store_true", help="print JSON")
    for name in ("set", "show"):
        subs[name].add_argument(
            "name", type=common.subject_name, metavar="NAME", help="name of the person"
        )
    subs["remove"].add_argument(
        "name", type=common.subject_name, nargs="+", metavar="NAME", help="people to remove"
    )
    subs["list"].add_argument(
        "--not-enrolled", action="store_true", help="only people who are not in the gallery"
    )
    add_learn_card(actions)
    add_find_card(actions)
    _add_attributes(subs["set"])
    _add_credentials(subs["set"])
    for name, action in (
        ("set", _set), ("show", _show), ("list", _list), ("remove", _remove)
    ):  # fmt: skip
        subs[name].set_defaults(action=action)


def _add_attributes(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--groups",
        type=common.option_type(parse_groups),
        metavar="NAMES",
        help="groups of lanes and rules, such as staff,night; empty: none",
    )
    for name, words in (("--valid-from", "first"), ("--valid-until", "last")):
        sub.add_argument(
            name,
            type=common.or_none(common.option_type(parse_day)),
            metavar="DAY",
            help=f"{words} day, such as 2026-12-01; `none`: no limit",
        )
    sub.add_argument(
        "--max-uses",
        type=common.or_none(common.whole_number(1)),
        metavar="N",
        help="entries of a visitor; `none`: no limit",
    )
    sub.add_argument(
        "--mode",
        choices=[*(mode.value for mode in AuthMode), "none"],
        help="factors of this person instead of `access.mode`; none: as configured",
    )
    sub.add_argument("--extended", choices=("on", "off"), help="unlock for `door.extended_pulse_s`")
    sub.add_argument(
        "--anti-passback-exempt", choices=("on", "off"), help="on: anti-passback does not apply"
    )


def _add_credentials(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--card",
        type=card_argument,
        action="append",
        default=[],
        metavar="CARD",
        help="add a card: 26:12:3456 (bits, facility code, number; also 34 and 37 bits), "
        "0001234567 (number of a USB reader) or 0x1f2e/16 (bits as read); may be repeated",
    )
    sub.add_argument(
        "--remove-card",
        type=card_argument,
        action="append",
        default=[],
        metavar="CARD",
        help="remove a card that is lost, written as above; may be repeated",
    )
    sub.add_argument("--no-cards", action="store_true", help="remove all cards of the person")
    sub.add_argument(
        "--panel-card",
        type=common.or_none(_panel_card),
        metavar="CARD",
        help="card that is reported to `door.panel` when the person is recognised: a number such "
        "as 3456 in the format of `door.panel`, or a card as above; `none`: no card",
    )
    sub.add_argument(
        "--pin",
        action="store_true",
        help="ask for a new PIN of 4 to 12 digits, or read it from a line of standard input",
    )
    sub.add_argument(
        "--duress-pin",
        action="store_true",
        help="with --pin: ask for a second PIN, or read the next line; it opens and raises a "
        "silent alarm",
    )
    sub.add_argument("--no-pin", action="store_true", help="remove PIN and duress PIN")


# ---------------------------------------------------------------- commands


def _set(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    _check_panel_card(config, args.panel_card)
    if args.duress_pin and not args.pin:
        raise ConfigError("--duress-pin needs --pin: both are set together")
    if args.pin and args.no_pin:
        raise ConfigError("expected --pin or --no-pin, found both")
    pin = _ask_pin("PIN") if args.pin else None
    duress = _ask_pin("duress PIN") if args.duress_pin else None
    announce_change(config, [args.name], common.change_author("edge-door", args.reason))
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.set_person(args.name, _changes(args))
        _change_credentials(editor, args, pin, duress)
    await_door(config)
    print(f"{args.name}: saved")
    return common.DONE


def _check_panel_card(config: TerminalConfig, text: str | None) -> None:
    """Raise ConfigError if a card does not fit the format of the configured panel."""
    if text in (None, "none"):
        return
    if (panel := build_access_point(config.access, config.door).panel) is None:
        raise ConfigError("--panel-card: no panel is configured; set `door.panel` first")
    try:
        panel.card_format.card(text)
    except ValueError as error:
        raise ConfigError(f"--panel-card: {error}") from error


def _change_credentials(
    editor: CredentialEditor, args: argparse.Namespace, pin: str | None, duress: str | None
) -> None:
    if args.no_cards:
        editor.remove_cards(args.name)
    for card in args.remove_card:
        editor.remove_card(args.name, card)
    for card in args.card:
        editor.add_card(args.name, card)
    if args.panel_card is not None:
        editor.set_panel_card(args.name, None if args.panel_card == "none" else args.panel_card)
    if pin is not None:
        editor.set_pin(args.name, pin, duress)
    elif args.no_pin:
        editor.remove_pin(args.name)


def _remove(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    _check_not_enrolled(config, args.name)
    author = common.change_author("edge-door", args.reason)
    announce_change(config, args.name, author)
    with (
        lock_all_names(config, args.name),
        edit_credentials(config.people_path, config.people_key_path) as editor,
    ):
        _check_not_enrolled(config, args.name)  # again: an enrollment may have ended since then
        for name in args.name:
            editor.remove_person(name)
    await_door(config)
    erase_at_door(config, args.name, author)
    print(f"{', '.join(args.name)}: removed")
    return common.DONE


def _check_not_enrolled(config: TerminalConfig, names: list[str]) -> None:
    """Raise DoorError for an enrolled person: a face without an entry has no limits."""
    if enrolled := find_enrolled(config, names):
        raise DoorError(
            f"{', '.join(enrolled)}: enrolled, and a face without an entry here has no limits; "
            "remove both by edge-gallery remove, or only cards and PINs by edge-door person set "
            "NAME --no-cards --no-pin"
        )


def _read_people(args: argparse.Namespace) -> tuple[PersonEntry, ...]:
    config = load_config(args.config)
    return read_document(config.people_path, config.people_key_path).people


def _show(args: argparse.Namespace) -> int:
    people = _read_people(args)
    found = next((one for one in people if name_key(one.name) == name_key(args.name)), None)
    if found is None:
        raise DoorError(
            f"{args.name!r} is not a person of this door; see `edge-door person list`. Enrolled "
            "people without an entry have no card, no PIN and no groups"
        )
    fields = _fields(found)
    if args.json:
        print(json.dumps(fields, ensure_ascii=False))
    else:
        for key, value in fields.items():
            print(f"{key:20s} {json.dumps(value, ensure_ascii=False)}")
    return common.DONE


def _list(args: argparse.Namespace) -> int:
    people = _read_people(args)
    if args.not_enrolled:
        enrolled = find_enrolled(load_config(args.config), [person.name for person in people])
        people = tuple(person for person in people if person.name not in enrolled)
    if args.json:
        print(json.dumps([_fields(person) for person in people], ensure_ascii=False))
        return common.DONE
    for person in people:
        print(f"{person.name}{_remarks(person)}")
    print(format_count(len(people), "person", "people"))
    return common.DONE


# ---------------------------------------------------------------- parts


def _ask_pin(what: str) -> str:
    """Return a PIN from the terminal without echo, or a line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    pin = getpass.getpass(f"{what}: ")
    if getpass.getpass(f"{what} again: ") != pin:
        raise ConfigError(f"the two inputs of the {what} differ; nothing was changed")
    return pin


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    """Return the attributes that the command line sets."""
    names = ("groups", "valid_from", "valid_until", "max_uses", "mode")
    changes: dict[str, Any] = {
        name: None if value == "none" else value
        for name in names
        if (value := getattr(args, name)) is not None
    }
    for name in ("extended", "anti_passback_exempt"):
        if (value := getattr(args, name)) is not None:
            changes[name] = value == "on"
    return changes


def _fields(person: PersonEntry) -> dict[str, Any]:
    """Return what may be shown: numbers of credentials, never their digests."""
    fields = person.model_dump(mode="json", exclude={"cards", "pin", "duress_pin", "panel_card"})
    credentials = {
        "cards": len(person.cards),
        "pin": person.pin is not None,
        "duress_pin": person.duress_pin is not None,
        "panel_card": person.panel_card is not None,
    }
    return fields | credentials


def _remarks(person: PersonEntry) -> str:
    remarks = [
        *describe_rights(person.rights),
        *([format_count(len(person.cards), "card")] if person.cards else []),
        *(["PIN"] if person.pin else []),
        *(["duress PIN"] if person.duress_pin else []),
        *(["panel card"] if person.panel_card else []),
    ]
    return f"  ({', '.join(remarks)})" if remarks else ""


def _panel_card(text: str) -> str:
    try:
        return check_panel_card(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, or a number such as 3456") from error
