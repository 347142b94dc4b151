"""Open gallery and networks of an enrollment, and records of statements on people."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge.audit import handover
from edge.audit.kinds import RecordEvent
from edge.config import TerminalConfig
from edge.errors import AlreadyRunningError, RecordError
from edge.gallery.enrollment.attributes import AttributePolicy
from edge.people.clock import current_day, save_clock_trust, trusted_day
from edge.system.lockfile import acquire_lock

if TYPE_CHECKING:
    from edge.access.policy import DecisionRules
    from edge.gallery.enrollment.enroller import Enroller
    from edge.gallery.enrollment.photos import QualityLevel, QualityRequirements
    from edge.gallery.enrollment.registry import EnrolledSubjects
    from edge.recogniser.networks import TerminalNetworks

_HANDOVER_S, _HANDOVER_POLL_S = 5.0, 0.05


@dataclass(frozen=True, slots=True)
class EnrollmentOptions:
    """Options of an enrollment."""

    account: str  # of the operator, noted with consents and statements
    quality: QualityLevel | None = None  # may only tighten `enrollment.quality`
    masked_templates: bool = False  # store each face once more with a drawn mask
    dry_run: bool = False
    writes_dates: bool = True  # a date such as that of a consent is stored


@dataclass(frozen=True, slots=True, eq=False)
class EnrollmentContext:
    """Open gallery and networks of an enrollment."""

    networks: TerminalNetworks
    rules: DecisionRules
    subjects: EnrolledSubjects
    enroller: Enroller
    requirements: QualityRequirements


@contextmanager
def open_context(options: EnrollmentOptions, config: TerminalConfig) -> Iterator[EnrollmentContext]:
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

    level = check_level(options.quality, config.enrollment.quality)
    store = None
    if options.dry_run and not has_gallery(config):  # a dry run does not create one
        become_owner(config.state)
    else:
        store = open_gallery(config).store
    policy = AttributePolicy(
        options.account,
        _enrollment_day(options, config),
        config.enrollment.consent,
        config.enrollment.erase_after_days,
    )
    with ExitStack() as stack:
        if store is not None:
            stack.callback(store.close)
        networks = open_networks(config)
        stack.callback(networks.close)
        rules = build_rules(config.policy, networks.calibration)
        subjects = EnrolledSubjects(store, dry_run=options.dry_run)
        before = store.read_position() if store is not None else None
        yield EnrollmentContext(
            networks,
            rules,
            subjects,
            _build_enroller(options, config, networks, rules, subjects, policy, level),
            QualityRequirements(level, config.detector.min_face_px),
        )
        if store is not None and (after := store.read_position()) != before:
            await_confirmation(config, after)


def _build_enroller(
    options: EnrollmentOptions,
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
        EnrollmentRules(level, options.masked_templates, config.enrollment.keep_chips),
        _record_nothing if options.dry_run else record,
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


def _enrollment_day(options: EnrollmentOptions, config: TerminalConfig) -> date:
    """Return today; raises GalleryError if a date depends on a clock that is not trusted."""
    if not options.dry_run:
        save_clock_trust(config)
    if config.enrollment.erase_after_days is None and not options.writes_dates:
        return current_day(config)
    return trusted_day(config, "the day of consent or erasure would be wrong; no one was enrolled")
