"""What the ways of enrolling share: who asks, what is asked, and the desk with everything behind it."""

from __future__ import annotations

import argparse
import os
import pwd
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from edge.config import Terminal
from edge.errors import ConfigError
from edge.gallery.enrollment.terms import Registrar, Terms, parse_day, parse_words

if TYPE_CHECKING:
    from edge.access.policy import Rules
    from edge.gallery.enrollment.desk import Desk
    from edge.gallery.enrollment.photos import Demand, Refusal
    from edge.gallery.enrollment.roll import Roll
    from edge.networks import Networks

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """Everything that enrolling needs, open."""

    networks: Networks
    rules: Rules
    roll: Roll
    desk: Desk
    demand: Demand


def add_terms(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "what is noted of the person; what is not named stays as it is"
    )
    words, day = _typed(parse_words), _typed(parse_day)
    group.add_argument(
        "--consent",
        type=words,
        metavar="WORDS",
        help="that the person agreed, such as where the signed form lies",
    )
    group.add_argument(
        "--valid-from",
        type=day,
        metavar="DAY",
        help="the first day on which the door opens, such as 2031-05-01",
    )
    group.add_argument("--valid-until", type=day, metavar="DAY", help="the last one")
    group.add_argument(
        "--group",
        type=words,
        action="append",
        metavar="NAME",
        help="of `policy.groups`; may be named several times",
    )
    group.add_argument(
        "--extended",
        action="store_true",
        help="the door stays open longer for this person, `door.extended_s`",
    )


def _typed(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    def convert(text: str) -> _T:
        try:
            return parse(text)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def terms_of(args: argparse.Namespace) -> Terms:
    """What the command line says of a person, or of everybody of a bulk."""
    return Terms(
        extended=True if args.extended else None,
        valid_from=args.valid_from,
        valid_until=args.valid_until,
        groups=tuple(dict.fromkeys(args.group)) if args.group else None,
        consent=args.consent,
    )


@contextmanager
def open_room(args: argparse.Namespace, config: Terminal) -> Iterator[Room]:
    """Root is the gallery's owner from here on. Raises ConfigError, BundleError, EngineError, GalleryError."""
    from edge.assembly import bounds_of, rules_of
    from edge.gallery.confirmation import await_confirmation
    from edge.gallery.enrollment.desk import Desk, check_level
    from edge.gallery.enrollment.photos import Demand
    from edge.gallery.enrollment.roll import Roll
    from edge.gallery.key import become_owner, enter, has_gallery
    from edge.gallery.store import open_store
    from edge.networks import open_networks

    keeping = config.enrollment
    level = check_level(args.quality, keeping.quality)
    today = datetime.now(ZoneInfo(config.door.schedule.time_zone)).date()
    registrar = Registrar(_account(), today, keeping.consent, keeping.keep_days)
    key = None
    if args.dry_run and not has_gallery(config):  # a dry run makes none
        become_owner(config.state)
    else:
        key = enter(config)
    networks = open_networks(config)
    rules = rules_of(config.policy, networks.calibration)
    store = (
        open_store(
            config, networks.bundle.model_digest, key, changeover=config.changeover is not None
        )
        if key is not None
        else None
    )
    try:
        roll = Roll(store, dry=args.dry_run)
        desk = Desk(
            networks.embedder,
            partial(bounds_of, rules, networks.calibration),
            roll,
            registrar,
            level,
            masked_templates=args.masked_templates,
            keep_chips=keeping.keep_chips,
        )
        before = store.position() if store is not None else None
        yield Room(networks, rules, roll, desk, Demand(level, config.detector.min_face_px))
        if store is not None and (after := store.position()) != before:
            await_confirmation(config, after)
    finally:
        networks.close()
        if store is not None:
            store.close()


def _account() -> str:
    """Who runs this, also behind sudo."""
    uid = os.getuid()
    told = os.environ.get("SUDO_UID", "") if uid == 0 else ""
    uid = int(told) if told.isdecimal() else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def warn_of_size(room: Room) -> None:
    from edge.access.policy import beyond, told

    templates, supported = room.roll.index.templates, room.networks.calibration.gallery_size
    if templates > supported:
        print(
            f"edge-enroll: warning: {told(room.rules, templates)}; {beyond(supported)}",
            file=sys.stderr,
        )


def tell_refused(refused: Sequence[Refusal], how: str = "refused") -> None:
    for item in refused:
        print(f"edge-enroll: {how} ({item.reason}): {item.message}", file=sys.stderr)
