"""Shared parts of the enrollment commands: options, attributes, messages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.cli.common import calling_account, option_type, subject_name
from edge.gallery.enrollment.attributes import SubjectAttributes, parse_words
from edge.names import parse_groups
from edge.parsing import parse_day
from edge.people.enrollment import EnrollmentContext, EnrollmentOptions
from edge.subject import SETTABLE_RIGHTS

if TYPE_CHECKING:
    from edge.gallery.enrollment.photos import Refusal


def add_attribute_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "attributes and rights of the person; without an option the stored value stays"
    )
    words, day = option_type(parse_words), option_type(parse_day)
    group.add_argument(
        "--consent",
        type=words,
        metavar="WORDS",
        help="record the person's consent, with the place of the signed form",
    )
    group.add_argument(
        "--valid-from",
        type=day,
        metavar="DAY",
        help="first day of access, such as 2031-05-01",
    )
    group.add_argument("--valid-until", type=day, metavar="DAY", help="last day of access")
    group.add_argument(
        "--groups",
        type=option_type(parse_groups),
        metavar="NAMES",
        help="groups of lanes and rules, such as staff,night; empty: none",
    )
    group.add_argument(
        "--extended",
        action="store_true",
        help="unlock the door longer for this person: `door.extended_pulse_s`",
    )


def add_distinct_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for two people who look alike")
    group.add_argument(
        "--not-a-duplicate",
        type=subject_name,
        action="append",
        metavar="NAME",
        help="name of an enrolled person who is not this person; may be given several times; "
        "recorded with --reason",
    )
    group.add_argument(
        "--reason",
        type=option_type(parse_words),
        metavar="WORDS",
        help="evidence that they are two people, such as: twins, both seen",
    )


def read_attributes(args: argparse.Namespace) -> SubjectAttributes:
    """Return the attributes given on the command line, for one person or all of a list."""
    return SubjectAttributes(
        consent=args.consent,
        not_duplicates=tuple(args.not_a_duplicate) if args.not_a_duplicate else None,
        reason=args.reason,
    )


def read_rights(args: argparse.Namespace) -> dict[str, object]:
    """Return the rights given on the command line, for one person or all of a list."""
    given = {name: getattr(args, name) for name in SETTABLE_RIGHTS}
    return {
        name: value for name, value in given.items() if value is not None and value is not False
    }


def enrollment_options(args: argparse.Namespace) -> EnrollmentOptions:
    """Return the options of a command that enrolls."""
    return EnrollmentOptions(
        account=calling_account(),
        quality=args.quality,
        masked_templates=args.masked_templates,
        dry_run=args.dry_run,
        # A list may note consents.
        writes_dates=args.consent is not None or args.subject is None,
    )


def warn_about_size(context: EnrollmentContext) -> None:
    """Warn if the gallery is larger than the model supports."""
    from edge.access.messages import describe_overload, describe_thresholds

    templates, supported = (
        context.subjects.index.templates,
        context.networks.calibration.gallery_size,
    )
    if templates > supported:
        print(
            f"edge-enroll: warning: {describe_thresholds(context.rules, templates)}; "
            f"{describe_overload(supported)}",
            file=sys.stderr,
        )


def print_refusals(refused: Sequence[Refusal], how: str = "refused") -> None:
    for item in refused:
        print(f"edge-enroll: {how} ({item.reason}): {item.message}", file=sys.stderr)
