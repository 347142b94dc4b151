"""`edge-gallery list`, `show`, `set`, `remove` and `expire`: the people of a gallery."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

from edge.cli import common, gallery_common
from edge.config import load_config
from edge.errors import ConfigError, DoorError, GalleryError
from edge.names import name_key
from edge.people import changes
from edge.people.changes import NotEnrolledError, confirm
from edge.people.clock import trusted_day
from edge.people.rights import Removal, describe_rights, read_rights, remove_rights
from edge.subject import SETTABLE_RIGHTS, PersonRights
from edge.system.text import format_count

if TYPE_CHECKING:
    from edge.gallery.reader import Subject
    from edge.gallery.store import GalleryStore


_Rights = Mapping[str, PersonRights] | None  # by key of the name; None: not readable


def list_people(args: argparse.Namespace) -> int:
    from edge.cli.gallery_maintenance import describe_gallery_thresholds

    rights = _read_rights(args)
    config, bundle, store = gallery_common.open_gallery(args)
    with closing(store):
        subjects = store.read_subjects()
    if args.json:
        people = {subject.name: _summary(subject, rights) for subject in subjects}
        print(json.dumps(people, ensure_ascii=False, default=date.isoformat))
        return common.DONE
    if subjects:
        print("templates  subject")
    for subject in subjects:
        print(f"{len(subject.templates):9d}  {subject.name}{_remarks(subject, rights)}")
    templates = sum(len(subject.templates) for subject in subjects)
    thresholds = describe_gallery_thresholds(config, bundle, templates)
    print(f"{format_count(len(subjects), 'subject')}; {thresholds}")
    return common.DONE


def _read_rights(args: argparse.Namespace) -> _Rights:
    """Return the rights of people, None with a message if they cannot be read here."""
    config = load_config(args.config)
    try:
        found = read_rights(config)
        why = f"{config.people_path}: not readable by this account; run this as root"
    except DoorError as error:
        found, why = None, str(error)
    if found is None:
        print(f"edge-gallery: the rights are not shown: {why}", file=sys.stderr)
    return found


def _shown_rights(name: str, rights: _Rights) -> dict[str, object] | None:
    return None if rights is None else asdict(rights.get(name_key(name), PersonRights()))


def _summary(subject: Subject, rights: _Rights) -> dict[str, object]:
    found = _shown_rights(subject.name, rights)
    return {"templates": len(subject.templates), **asdict(subject.record), "rights": found}


def _remarks(subject: Subject, rights: _Rights) -> str:
    """Return the attributes and rights that differ from their defaults."""
    record = subject.record
    remarks = [
        *describe_rights((rights or {}).get(name_key(subject.name), PersonRights())),
        *(["SETTABLE_RIGHTS NOT MOVED, see move-rights"] if record.unmoved_rights else []),
        *(["any mask"] if record.mask == "any" else []),
        *([record.liveness] if record.liveness != "as-configured" else []),
        *([f"erase on {record.erase_on}"] if record.erase_on else []),
        *([] if len(subject.templates) else ["of another model"]),
    ]
    return f"  ({', '.join(remarks)})" if remarks else ""


def show_person(args: argparse.Namespace) -> int:
    rights = _read_rights(args)
    _, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        record, templates = store.find_record(args.subject), store.list_templates(args.subject)
    if record is None:
        raise NotEnrolledError(args.subject)
    fields = {
        "subject": args.subject,
        **asdict(record),
        "rights": _shown_rights(args.subject, rights),
        "templates": [{"model": one.model, "chip_kept": one.chip is not None} for one in templates],
    }
    if args.json:
        print(json.dumps(fields, ensure_ascii=False, default=date.isoformat))
    else:
        for key, value in fields.items():
            print(f"{key:14s} {json.dumps(value, ensure_ascii=False, default=date.isoformat)}")
    return common.DONE


def remove_people(args: argparse.Namespace) -> int:
    def report(name: str, templates: int) -> None:
        print(
            f"{name}: erased with {format_count(templates, 'template')}; no data of this "
            "person is left in the gallery's files"
        )

    author = common.change_author("edge-gallery")
    for name in changes.remove_people(load_config(args.config), args.subject, author, report):
        print(f"{name}: not enrolled; removed from the door")
    return common.DONE


def set_attributes(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    attributes, rights = (
        _changes(args, ("erase_on", "mask", "liveness")),
        _changes(args, SETTABLE_RIGHTS),
    )
    if not attributes and not rights:
        raise ConfigError("no attribute to set; see edge-gallery set --help")
    author = common.change_author("edge-gallery")
    changes.change_person(config, args.subject, attributes, rights, author)
    print(f"{args.subject}: {', '.join([*attributes, *rights])} changed")
    return common.DONE


def _changes(args: argparse.Namespace, names: Sequence[str]) -> dict[str, object]:
    """Return those of the named attributes that the command line sets."""
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    words: dict[object, object] = {"none": None, "on": True, "off": False}
    return {
        name: words.get(value, value) if isinstance(value, str) else value
        for name, value in given.items()
    }


def expire_people(args: argparse.Namespace) -> int:
    author = common.change_author("edge-gallery")
    with remove_rights(load_config(args.config), author) as removal:
        result = _expire(args, removal)
    if removal.removes_leftovers and removal.leftovers:
        people = format_count(removal.leftovers, "person", "people")
        print(f"{people} of an interrupted removal: finished at the door")
    return result


def _expire(args: argparse.Namespace, removal: Removal) -> int:
    config, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        expired = store.expired_subjects(trusted_day(config, "nothing was erased"))
        if args.dry_run:  # names only for an operator: the timer's output is in the journal
            for name in expired:
                print(f"{name}: would be erased")
            print(f"{format_count(len(expired), 'person', 'people')} would be erased")
            return common.DONE
        if expired:
            removal.begin(expired)
        elif not removal.leftovers:
            print("no expired people to erase")
            return common.DONE
        failed = [name for name in expired if not _erase_expired(store, name)]
        confirm(config, store)
        gone = [name for name in expired if store.find_record(name) is None]
        removal.erased.update(gone)
        removal.removes_leftovers = True
    print(f"{format_count(len(gone), 'person', 'people')} erased: the retention period is over")
    return common.FAILED if failed else common.DONE


def _erase_expired(store: GalleryStore, name: str) -> bool:
    """Erase a person; print an error without the name, for the timer's journal."""
    try:
        store.remove(name)
    except GalleryError as error:
        print(
            f"edge-gallery: {store.path}: a person whose retention period is over is not erased "
            f"completely: {error.__cause__ or 'another process changed the gallery'}; run "
            "edge-gallery verify --repair, then edge-gallery expire again",
            file=sys.stderr,
        )
        return False
    return True
