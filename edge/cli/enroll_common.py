"""Shared parts of the enrollment commands: options, attributes, the open gallery and networks."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge.audit import handover
from edge.audit.kinds import RecordEvent
from edge.cli.clock import current_day, save_clock_trust, trusted_day
from edge.cli.common import calling_account, option_type, subject_name
from edge.config import TerminalConfig
from edge.errors import AlreadyRunningError, RecordError
from edge.gallery.enrollment.attributes import AttributePolicy, SubjectAttributes, parse_words
from edge.names import parse_groups
from edge.parsing import parse_day
from edge.subject import SETTABLE_RIGHTS
from edge.system.lockfile import acquire_lock

if TYPE_CHECKING:
    from edge.access.policy import DecisionRules
    from edge.gallery.enrollment.enroller import Enroller
    from edge.gallery.enrollment.photos import QualityLevel, QualityRequirements, Refusal
    from edge.gallery.enrollment.registry import EnrolledSubjects
    from edge.recogniser.networks import TerminalNetworks

_HANDOVER_S, _HANDOVER_POLL_S = 5.0, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class EnrollmentContext:
    """Open gallery and networks of an enrollment."""

    networks: TerminalNetworks
    rules: DecisionRules
    subjects: EnrolledSubjects
    enroller: Enroller
    requirements: QualityRequirements


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


@contextmanager
def open_context(args: argparse.Namespace, config: TerminalConfig) -> Iterator[EnrollmentContext]:
    """Open gallery and networks; a process of root becomes the gallery's owner.

    Raises ConfigError, BundleError, EngineError, GalleryError.
    """
    from edge.gallery.confirmation import await_confirmation
    from edge.gallery.enrollment.enroller import check_level
    from edge.gallery.enrollment.photos import QualityRequirements
    from edge.gallery.enrollment.registry import EnrolledSubjects
    from edge.gallery.key import become_owner, has_gallery
    from edge.gallery.opening import open_gallery
    from edge.recogniser.build import build_rules
    from edge.recogniser.networks import open_networks

    level = check_level(args.quality, config.enrollment.quality)
    account = calling_account()  # before this process becomes the gallery's owner
    store = None
    if args.dry_run and not has_gallery(config):  # a dry run does not create one
        become_owner(config.state)
    else:
        store = open_gallery(config).store
    policy = AttributePolicy(
        account,
        _enrollment_day(args, config),
        config.enrollment.consent,
        config.enrollment.erase_after_days,
    )
    with ExitStack() as stack:
        if store is not None:
            stack.callback(store.close)
        networks = open_networks(config)
        stack.callback(networks.close)
        rules = build_rules(config.policy, networks.calibration)
        subjects = EnrolledSubjects(store, dry_run=args.dry_run)
        before = store.read_position() if store is not None else None
        yield EnrollmentContext(
            networks,
            rules,
            subjects,
            _build_enroller(args, config, networks, rules, subjects, policy, level),
            QualityRequirements(level, config.detector.min_face_px),
        )
        if store is not None and (after := store.read_position()) != before:
            await_confirmation(config, after)


def _build_enroller(
    args: argparse.Namespace,
    config: TerminalConfig,
    networks: TerminalNetworks,
    rules: DecisionRules,
    subjects: EnrolledSubjects,
    policy: AttributePolicy,
    level: QualityLevel,
) -> Enroller:
    from edge.gallery.enrollment.enroller import Enroller, EnrollmentRules
    from edge.recogniser.build import build_duplicate_thresholds

    record = partial(_record_distinct, config, policy.account)
    return Enroller(
        networks.embedder,
        partial(build_duplicate_thresholds, rules, networks.calibration),
        subjects,
        policy,
        EnrollmentRules(level, args.masked_templates, config.enrollment.keep_chips),
        _record_nothing if args.dry_run else record,
    )


def _record_nothing(subject: str, other: str, reason: str) -> None:
    """Record nothing, in a dry run."""


def _record_distinct(
    config: TerminalConfig, account: str, subject: str, other: str, reason: str
) -> None:
    """Record an operator's statement that two subjects are two people.

    Raises RecordError, and AlreadyRunningError while another enrollment writes a statement.
    """
    from edge.audit.writer import AuditLogWriter

    fields = {"event": RecordEvent.NOT_A_DUPLICATE, "subject": subject, "other": other}
    fields |= {"operator": account, "note": reason}
    own = acquire_lock(config.enroll_lock_path, "edge-enroll --not-a-duplicate", "instance")
    try:
        daemon = acquire_lock(config.daemon_lock_path, "edge-daemon", "instance")
        try:
            record = AuditLogWriter(
                config.decisions_path, log_id=config.log_id(config.decisions_path)
            )
            record.append(fields)
            record.close()
        finally:
            os.close(daemon)
    except AlreadyRunningError:
        _hand_over(config.handover_path, fields)
    finally:
        os.close(own)


def _hand_over(path: Path, fields: dict[str, str]) -> None:
    """Wait until the running recogniser has recorded the fields; raises RecordError."""
    handover.write(path, fields)
    ends_at = time.monotonic() + _HANDOVER_S
    while path.exists():
        if time.monotonic() >= ends_at and handover.remove(path):
            raise RecordError(
                f"edge-daemon did not record the statement in {_HANDOVER_S:.0f} s; nothing was "
                "stored: see its log, or stop it and run this again"
            )
        time.sleep(_HANDOVER_POLL_S)


def _enrollment_day(args: argparse.Namespace, config: TerminalConfig) -> date:
    """Return today; raises GalleryError if a date depends on a clock that is not trusted."""
    if not args.dry_run:
        save_clock_trust(config)
    writes_dates = args.consent is not None or args.subject is None  # a list may note consents
    if config.enrollment.erase_after_days is None and not writes_dates:
        return current_day(config)
    return trusted_day(config, "the day of consent or erasure would be wrong; no one was enrolled")


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
