"""`edge-gallery list`, `show`, `set`, `remove` and `expire`: the people of a gallery."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date
from typing import TYPE_CHECKING

from edge.cli import common, gallery_common
from edge.cli.clock import trusted_day
from edge.cli.gallery_common import confirm, not_enrolled
from edge.errors import ConfigError, GalleryError
from edge.names import name_key
from edge.subject import SubjectRecord
from edge.system.text import format_count

if TYPE_CHECKING:
    from edge.gallery.reader import Subject
    from edge.gallery.store import GalleryStore


def list_people(args: argparse.Namespace) -> int:
    from edge.cli.gallery_maintenance import describe_gallery_thresholds

    config, bundle, store = gallery_common.open_gallery(args)
    with closing(store):
        subjects = store.read_subjects()
    if args.json:
        people = {subject.name: _summary(subject) for subject in subjects}
        print(json.dumps(people, ensure_ascii=False, default=date.isoformat))
        return common.DONE
    if subjects:
        print("templates  subject")
    for subject in subjects:
        print(f"{len(subject.templates):9d}  {subject.name}{_remarks(subject)}")
    templates = sum(len(subject.templates) for subject in subjects)
    thresholds = describe_gallery_thresholds(config, bundle, templates)
    print(f"{format_count(len(subjects), 'subject')}; {thresholds}")
    return common.DONE


def _summary(subject: Subject) -> dict[str, object]:
    return {"templates": len(subject.templates), **asdict(subject.record)}


def _remarks(subject: Subject) -> str:
    """Return the attributes that differ from their defaults."""
    record = subject.record
    remarks = [
        *(["extended"] if record.extended else []),
        *([f"from {record.valid_from}"] if record.valid_from else []),
        *([f"until {record.valid_until}"] if record.valid_until else []),
        *record.groups,
        *(["any mask"] if record.mask == "any" else []),
        *([record.liveness] if record.liveness != "as-configured" else []),
        *([f"erase on {record.erase_on}"] if record.erase_on else []),
        *([] if len(subject.templates) else ["of another model"]),
    ]
    return f"  ({', '.join(remarks)})" if remarks else ""


def show_person(args: argparse.Namespace) -> int:
    _, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        record, templates = store.find_record(args.subject), store.list_templates(args.subject)
    if record is None:
        raise not_enrolled(args.subject)
    fields = {
        "subject": args.subject,
        **asdict(record),
        "templates": [{"model": one.model, "chip_kept": one.chip is not None} for one in templates],
    }
    if args.json:
        print(json.dumps(fields, ensure_ascii=False, default=date.isoformat))
    else:
        for key, value in fields.items():
            print(f"{key:12s} {json.dumps(value, ensure_ascii=False, default=date.isoformat)}")
    return common.DONE


def remove_people(args: argparse.Namespace) -> int:
    config, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        for name in args.subject:  # all names are checked before anything is erased
            if store.find_record(name) is None:
                raise not_enrolled(name)
        for name in {name_key(name): name for name in args.subject}.values():
            removed = store.remove(name)
            print(
                f"{name}: erased with {format_count(removed, 'template')}; no data of this "
                "person is left in the gallery's files"
            )
        confirm(config, store)
    return common.DONE


def set_attributes(args: argparse.Namespace) -> int:
    config, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        record = store.find_record(args.subject)
        if record is None:
            raise not_enrolled(args.subject)
        changes = _changes(args)
        if not changes:
            raise ConfigError("no attribute to set; see edge-gallery set --help")
        store.update_attributes(args.subject, _apply(record, changes))
        print(f"{args.subject}: {', '.join(changes)} changed")
        confirm(config, store)
    return common.DONE


def _changes(args: argparse.Namespace) -> dict[str, object]:
    """Return the attributes that the command line sets."""
    names = ("valid_from", "valid_until", "erase_on", "mask", "liveness", "groups")
    changes = {
        name: None if value == "none" else value
        for name in names
        if (value := getattr(args, name)) is not None
    }
    if args.extended is not None:
        changes["extended"] = args.extended == "on"
    return changes


def _apply(record: SubjectRecord, changes: dict[str, object]) -> SubjectRecord:
    changed = replace(record, **changes)  # type: ignore[arg-type]
    if changed.valid_from and changed.valid_until and changed.valid_from > changed.valid_until:
        raise ConfigError(f"valid from {changed.valid_from}, which is after {changed.valid_until}")
    return changed


def expire_people(args: argparse.Namespace) -> int:
    config, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        expired = store.expired_subjects(trusted_day(config, "nothing was erased"))
        for name in expired:  # names only for an operator: the timer's output is in the journal
            if args.dry_run:
                print(f"{name}: would be erased")
            else:
                _erase_expired(store, name)
        if not expired:
            print("no expired people to erase")
            return common.DONE
        print(
            f"{format_count(len(expired), 'person', 'people')} "
            f"{'would be ' if args.dry_run else ''}erased: the retention period is over"
        )
        if not args.dry_run:
            confirm(config, store)
    return common.DONE


def _erase_expired(store: GalleryStore, name: str) -> None:
    """Erase a person; raises GalleryError without the name, for the timer's journal."""
    try:
        store.remove(name)
    except GalleryError as error:
        raise GalleryError(
            f"{store.path}: a person whose retention period is over is not erased completely: "
            f"{error.__cause__ or 'another process changed the gallery'}; run edge-gallery verify "
            "--repair, then edge-gallery expire again"
        ) from error
