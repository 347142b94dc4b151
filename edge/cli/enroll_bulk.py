"""Enrolling many people: a bar, a report to go on from, and how many were refused for what."""

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
from edge.system.text import count

if TYPE_CHECKING:
    from edge.gallery.enrollment.bulk import BulkOutcome
    from edge.gallery.enrollment.roster import RosterEntry


def enroll_bulk(args: argparse.Namespace, config: TerminalConfig) -> int:
    """Raises ConfigError where the list is not right, before anybody is enrolled."""
    from edge.gallery.enrollment.bulk import BulkOptions, enroll_all
    from edge.gallery.enrollment.journal import EnrollmentJournal
    from edge.gallery.enrollment.roster import read_roster

    common.check_out(args.report)
    everybody = enroll_common.read_attributes(args)
    entries = [
        replace(entry, terms=entry.attributes.over(everybody))
        for entry in read_roster(args.bulk, args.folder)
    ]
    outcomes: list[BulkOutcome] = []
    began = time.monotonic()
    with (
        closing(EnrollmentJournal(args.report)) as journal,
        enroll_common.open_context(args, config) as room,
    ):
        _check_readable(entries)
        listed = {entry.subject for entry in entries}
        for entry in entries:
            room.enroller.check_distinct(entry.subject, entry.attributes, listed)
        way = BulkOptions(
            room.requirements, args.min_photos, args.masked_templates, args.replace, args.dry_run
        )
        done = enroll_all(
            entries, room.networks.detector, room.networks.embedder, room.enroller, journal, way
        )
        try:
            for outcome in tqdm(done, total=len(entries), unit="person", disable=None):
                outcomes.append(outcome)
                _print_photos(outcome, verbose=args.verbose)
        except KeyboardInterrupt:
            raise MfsaError(
                f"stopped after {len(outcomes)} of {count(len(entries), 'person', 'people')}; those who were enrolled "
                "stay so: run the same command again to go on"
            ) from None
        _print_summary(args, outcomes, time.monotonic() - began)
        enroll_common.warn_about_size(room)
    return common.FAILED if any(outcome.refused for outcome in outcomes) else common.DONE


def _check_readable(entries: Sequence[RosterEntry]) -> None:
    """Asked before anybody is enrolled, by the account that reads them: what strangers drew is not decoded as root."""
    closed = [path for entry in entries for path in entry.photos if not os.access(path, os.R_OK)]
    if closed:
        raise ConfigError(
            f"{closed[0]}{f' and {len(closed) - 1} more' if len(closed) > 1 else ''}: the gallery's account cannot read it; "
            "put the photos where it can, for it alone"
        )


def _print_photos(outcome: BulkOutcome, *, verbose: bool) -> None:
    for photo in outcome.photos:
        if verbose or outcome.refused:
            measured = (
                ", ".join(f"{key} {value:.0f}" for key, value in photo.components.items())
                if verbose
                else ""
            )
            line = f"edge-enroll: {outcome.subject}: ({photo.reason}) {photo.message}{f' [{measured}]' if measured else ''}"
            tqdm.write(line, file=sys.stderr)


def _print_summary(
    args: argparse.Namespace, outcomes: Sequence[BulkOutcome], seconds: float
) -> None:
    people = Counter(outcome.refused for outcome in outcomes if outcome.refused)
    photos = Counter(
        photo.reason for outcome in outcomes for photo in outcome.photos if photo.photo != "all"
    )
    told = {
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
        print(json.dumps(told))
        return
    would = "would be " if args.dry_run else ""
    print(
        f"{told['enrolled']} of {count(len(outcomes), 'person', 'people')} {would}enrolled with "
        f"{count(told['templates'], 'new template')} in {seconds:.0f} s, "
        f"{told['enrolled_before']} were before, {people.total()} refused"
    )
    for title, counted in (("people refused", people), ("photos not used", photos)):
        for reason, number in counted.most_common():
            print(f"  {title}: {number:5d}  {reason}: {reason.sentence}")
    if photos and not (args.verbose or args.report):
        print("  -v or --report names each photo that was not used")
