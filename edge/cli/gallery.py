"""`edge-gallery`: list, change, erase, transfer and maintain the enrolled people."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.cli import (
    common,
    gallery_maintenance,
    gallery_people,
    gallery_rights,
    gallery_transfer,
)
from edge.names import parse_groups
from edge.parsing import parse_day

_Parser = argparse.ArgumentParser
_Command = Callable[[argparse.Namespace], int]
# Name, function, description, and an example of its arguments.
_COMMANDS: tuple[tuple[str, _Command, str, str], ...] = (
    (
        "list",
        gallery_people.list_people,
        "list all people with templates, attributes and rights",
        "--json",
    ),
    (
        "show",
        gallery_people.show_person,
        "show all stored data of a person, and the rights",
        '--subject "Ada"',
    ),
    (
        "set",
        gallery_people.set_attributes,
        "change attributes and rights of a person; options that are not given change nothing",
        '--subject "Ada" --groups staff,night --valid-until 2027-01-31',
    ),
    (
        "remove",
        gallery_people.remove_people,
        "erase people, also from the door, and search the gallery's files for remnants",
        '--subject "Ada" --subject "Eve"',
    ),
    (
        "expire",
        gallery_people.expire_people,
        "erase all people whose day of erasure has come",
        "--dry-run",
    ),
    (
        "stats",
        gallery_maintenance.show_statistics,
        "show the size of the gallery and the threshold that results",
        "--json",
    ),
    (
        "verify",
        gallery_maintenance.verify_gallery,
        "check that every row is valid and that no erased data is left",
        "--repair",
    ),
    (
        "migrate",
        gallery_maintenance.migrate_gallery,
        "enroll people again for the bundle's model, from their stored chips",
        "--drop-other-models",
    ),
    (
        "move-rights",
        gallery_rights.move_rights,
        "move groups and days of access from a gallery of 0.2.0 to the door; needed once, as root",
        "--dry-run",
    ),
    (
        "rotate-key",
        gallery_maintenance.rotate_gallery_key,
        "encrypt the gallery by a new key; a recogniser that runs as a service needs a restart",
        "",
    ),
    (
        "export",
        gallery_transfer.export_people,
        "write people to an encrypted file, for another terminal with the same model",
        '--out people.bin --subject "Ada"',
    ),
    (
        "import",
        gallery_transfer.import_people,
        "enroll people from an export, also on a new terminal",
        "people.bin",
    ),
    (
        "backup",
        gallery_transfer.back_up_gallery,
        "write the gallery to an encrypted file",
        "gallery.backup",
    ),
    (
        "restore",
        gallery_transfer.restore_gallery,
        "make the gallery from a backup, also on a new terminal",
        "gallery.backup --replace",
    ),
)


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-gallery",
        "List, change, erase, transfer and maintain the enrolled people. A running recogniser "
        "takes over changes within a second.",
        "edge-gallery list --config terminal.yaml",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    subs: dict[str, _Parser] = {}
    for name, command, words, arguments in _COMMANDS:
        example = f"edge-gallery {name} --config terminal.yaml {arguments}".rstrip()
        epilog = f"example:\n  {example}"
        subs[name] = commands.add_parser(name, help=words, description=words, epilog=epilog)
        common.add_config(subs[name])
        subs[name].set_defaults(command_function=command)
    _add_subjects(subs)
    _add_attributes(subs["set"])
    _add_maintenance(subs)
    _add_files(subs)
    for name in ("list", "show", "stats", "verify"):
        subs[name].add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    return common.run("edge-gallery", lambda: int(args.command_function(args)))


def _add_subjects(subs: dict[str, _Parser]) -> None:
    def add(name: str, words: str, **more: Any) -> None:
        subs[name].add_argument(
            "--subject", type=common.subject_name, metavar="NAME", help=words, **more
        )

    for name in ("show", "set"):
        add(name, "name of the person, in any Unicode spelling", required=True)
    add("remove", "a person to erase; may be repeated", action="append", required=True)
    add("export", "a person to export; may be repeated; default: all", action="append", default=[])


def _add_attributes(sub: _Parser) -> None:
    """Add the options of `set`."""
    sub.add_argument("--extended", choices=("on", "off"), help="unlock for `door.extended_pulse_s`")
    sub.add_argument(
        "--valid-from",
        type=common.or_none(common.option_type(parse_day)),
        metavar="DAY",
        help="first day, such as 2026-12-01; `none`: no limit",
    )
    sub.add_argument(
        "--valid-until",
        type=common.or_none(common.option_type(parse_day)),
        metavar="DAY",
        help="last day; `none`: no limit",
    )
    sub.add_argument(
        "--groups",
        type=common.option_type(parse_groups),
        metavar="NAMES",
        help="groups of lanes and rules, such as staff,night; empty: none",
    )
    sub.add_argument(
        "--mask", choices=("as-configured", "any"), help="any: access with and without a mask"
    )
    sub.add_argument(
        "--liveness",
        choices=("as-configured", "no-challenge"),
        help="no-challenge: never asked to turn the head",
    )
    sub.add_argument(
        "--erase-on",
        type=common.or_none(common.option_type(parse_day)),
        metavar="DAY",
        help="day from which `expire` erases the person; `none`: never",
    )


def _add_maintenance(subs: dict[str, _Parser]) -> None:
    """Add the options of expire, move-rights, verify and migrate."""
    for name, words in (("expire", "names"), ("move-rights", "names and rights")):
        subs[name].add_argument("--dry-run", action="store_true", help=f"only print the {words}")
    subs["verify"].add_argument(
        "--repair", action="store_true", help="first rewrite the file without erased data"
    )
    subs["migrate"].add_argument(
        "--drop-other-models",
        action="store_true",
        help="then erase the templates of all other models",
    )


def _add_files(subs: dict[str, _Parser]) -> None:
    """Add the options of export, import, backup and restore."""
    subs["export"].add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the file to write"
    )
    subs["backup"].add_argument("file", type=Path, metavar="FILE", help="the file to write")
    for name in ("export", "backup"):
        subs[name].add_argument("--force", action="store_true", help="replace an existing file")
    for name, source in (("import", "export"), ("restore", "backup")):
        subs[name].add_argument(
            "file", type=Path, metavar="FILE", help=f"made by edge-gallery {source}"
        )
    subs["import"].add_argument(
        "--replace", action="store_true", help="replace people who are enrolled already"
    )
    subs["restore"].add_argument(
        "--replace", action="store_true", help="replace the existing gallery"
    )
    for name in ("export", "import", "backup", "restore"):
        subs[name].add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="file with the passphrase in its first line; default: ask",
        )


if __name__ == "__main__":
    sys.exit(main())
