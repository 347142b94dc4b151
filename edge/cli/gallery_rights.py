"""`edge-gallery move-rights`: rights from a gallery of 0.2.0 to the file of the door process."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from edge.cli import common
from edge.config import TerminalConfig, load_config
from edge.door.credential_editor import edit_credentials
from edge.door.rights_change import take_over
from edge.people.changes import check_gallery_exists, confirm
from edge.people.rights import announce_change, await_door, check_may_change, describe_rights
from edge.subject import PersonRights, SubjectRecord, from_json, to_json
from edge.system.text import format_count

if TYPE_CHECKING:
    from edge.gallery.store import GalleryStore


def move_rights(args: argparse.Namespace) -> int:
    """Add the rights to those of the door, then remove them from the gallery.

    A person whose first or last day is in the gallery is refused at the door until then.
    """
    from edge.gallery.key import run_as_owner

    config = load_config(args.config)
    check_gallery_exists(config)
    check_may_change(config)
    unmoved = _from_lines(run_as_owner(config, lambda key: _read_unmoved(config, key)))
    if not args.dry_run and unmoved:
        reason = f"edge-gallery move-rights by {common.calling_account()}"
        announce_change(config, list(unmoved), common.change_author("edge-gallery", reason))
        with edit_credentials(config.people_path, config.people_key_path) as editor:
            unmoved = take_over(editor, unmoved)
        await_door(config)
        run_as_owner(config, lambda key: _clear(config, key, unmoved))
    for name, rights in unmoved.items():
        print(f"{name}: {', '.join(describe_rights(rights)) or 'no groups'}")
    moved = "would be moved" if args.dry_run else "moved to the door"
    print(f"rights of {format_count(len(unmoved), 'person', 'people')} {moved}")
    return common.DONE


def _open(config: TerminalConfig, key: bytes) -> GalleryStore:
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING
    from edge.gallery.store import open_store

    model = open_bundle(config.bundle, PREPROCESSING).model_digest
    return open_store(config, model, key, allow_other_models=True)


def _read_unmoved(config: TerminalConfig, key: bytes) -> bytes:
    """Return the people with rights in the gallery, a line of JSON for each."""
    with closing(_open(config, key)) as store:
        return b"\n".join(
            to_json(subject.name, SubjectRecord(unmoved_rights=subject.record.unmoved_rights))
            for subject in store.read_subjects()
            if subject.record.unmoved_rights is not None
        )


def _from_lines(lines: bytes) -> dict[str, PersonRights]:
    people = map(from_json, lines.splitlines())
    return {name: record.unmoved_rights for name, record in people if record.unmoved_rights}


def _clear(config: TerminalConfig, key: bytes, moved: Mapping[str, PersonRights]) -> bytes:
    """Remove the rights of people from the gallery."""
    with closing(_open(config, key)) as store:
        for name in moved:
            if (record := store.find_record(name)) is not None:
                store.update_attributes(name, replace(record, unmoved_rights=None))
        confirm(config, store)
    return b""
