"""Bulk enrollment with a progress bar, a report to resume from, and counts of refusals."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from tqdm import tqdm

from edge.cli import common, enroll_common
from edge.config import TerminalConfig
from edge.errors import ConfigError, MfsaError
from edge.people.enrollment import open_context
from edge.people.rights import change_rights
from edge.system.text import format_count

if TYPE_CHECKING:
    from edge.gallery.enrollment.bulk import BulkOutcome
    from edge.gallery.enrollment.roster import RosterEntry


def enroll_bulk(args: argparse.Namespace, config: TerminalConfig) -> int:
    """Enroll all people of a list; raises ConfigError for an invalid one, with no one enrolled."""
    from edge.gallery.enrollment.bulk import BulkOptions, enroll_all
    from edge.gallery.enrollment.journal import EnrollmentJournal
    from edge.gallery.enrollment.roster import read_roster

    common.check_output_files(args.report)
    entries = [_with_defaults(entry, args) for entry in read_roster(args.bulk, args.folder)]
    rights = {} if args.dry_run else {entry.subject: entry.rights for entry in entries}
    outcomes: list[BulkOutcome] = []
    began = time.monotonic()
    with (
        closing(EnrollmentJournal(args.report)) as journal,
        change_rights(config, rights, common.change_author("edge-enroll")) as enrolled,
        open_context(enroll_common.enrollment_options(args), config) as context,
    ):
        _check_readable(entries)
        listed = {entry.subject for entry in entries}
        for entry in entries:
            context.enroller.check_distinct(entry.subject, entry.attributes, listed)
        options = BulkOptions(
            context.requirements, args.min_photos, args.masked_templates, args.replace, args.dry_run
        )
        networks = context.networks
        done = enroll_all(
            entries, networks.detector, networks.embedder, context.enroller, journal, options
        )
        try:
            for outcome in tqdm(done, total=len(entries), unit="person", disable=None):
                outcomes.append(outcome)
                if outcome.refused is None:
                    enrolled.add(outcome.subject)
                _print_photos(outcome, verbose=args.verbose)
        except KeyboardInterrupt:
            raise MfsaError(
                f"stopped after {len(outcomes)} of "
                f"{format_count(len(entries), 'person', 'people')}, who stay enrolled; "
                "run the same command again to continue"
            ) from None
        _print_summary(args, outcomes, time.monotonic() - began)
        enroll_common.warn_about_size(context)
    return common.FAILED if any(outcome.refused for outcome in outcomes) else common.DONE


def _with_defaults(entry: RosterEntry, args: argparse.Namespace) -> RosterEntry:
    """Return a line with the command's own options for what it leaves out."""
    attributes = entry.attributes.with_defaults(enroll_common.read_attributes(args))
    rights = {**enroll_common.read_rights(args), **entry.rights}
    return replace(entry, attributes=attributes, rights=rights)


def _check_readable(entries: Sequence[RosterEntry]) -> None:
    """Raise ConfigError for photos that the gallery's account cannot read.

    Photos are decoded by that account, never by root, because files from strangers are not trusted.
    """
    closed = [path for entry in entries for path in entry.photos if not os.access(path, os.R_OK)]
    if closed:
        more = f" and {len(closed) - 1} more" if len(closed) > 1 else ""
        raise ConfigError(
            f"{closed[0]}{more}: the gallery's account cannot read it; "
            "move the photos to a folder that only this account can read"
        )


def _print_photos(outcome: BulkOutcome, *, verbose: bool) -> None:
    for photo in outcome.photos:
        if verbose or outcome.refused:
            values = [f"{key} {value:.0f}" for key, value in photo.components.items()]
            measured = f" [{', '.join(values)}]" if verbose and values else ""
            tqdm.write(
                f"edge-enroll: {outcome.subject}: ({photo.reason}) {photo.message}{measured}",
                file=sys.stderr,
            )


def _print_summary(
    args: argparse.Namespace, outcomes: Sequence[BulkOutcome], seconds: float
) -> None:
    people = Counter(outcome.refused for outcome in outcomes if outcome.refused)
    photos = Counter(
        photo.reason for outcome in outcomes for photo in outcome.photos if photo.photo != "all"
    )
    summary = {
        "people": len(outcomes),
        "enrolled": sum(not outcome.refused and not outcome.skipped for outcome in outcomes),
        "enrolled_before": sum(outcome.skipped for outcome in outcomes),
        "refused": dict(people.most_common()),
        "templates": sum(outcome.stored for outcome in outcomes),
        "photos_not_used": dict(photos.most_common()),
        "seconds": round(seconds, 1),
        "dry_run": args.dry_run,
    }
    if args.json:
        print(json.dumps(summary))
        return
    would = "would be " if args.dry_run else ""
    print(
        f"{summary['enrolled']} of {format_count(len(outcomes), 'person', 'people')} "
        f"{would}enrolled with {format_count(summary['templates'], 'new template')} "
        f"in {seconds:.0f} s, "
        f"{summary['enrolled_before']} were before, {people.total()} refused"
    )
    for title, counted in (("people refused", people), ("photos not used", photos)):
        for reason, number in counted.most_common():
            print(f"  {title}: {number:5d}  {reason}: {reason.sentence}")
    if photos and not (args.verbose or args.report):
        print("  -v or --report names each photo that was not used")
