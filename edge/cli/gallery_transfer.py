"""`edge-gallery export`, `import`, `backup` and `restore`: people in encrypted files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli import common, gallery_common
from edge.cli.gallery_common import read_passphrase
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError, GalleryError
from edge.people.changes import check_gallery_exists, confirm
from edge.people.clock import save_clock_trust, trusted_day
from edge.people.rights import change_rights, read_rights
from edge.subject import PersonRights
from edge.system.text import format_count

if TYPE_CHECKING:
    from edge.gallery.import_policy import ImportPolicy
    from edge.gallery.stored_subjects import StoredSubject


def export_people(args: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING
    from edge.gallery import encrypted_file, export
    from edge.gallery.key import run_as_owner
    from edge.gallery.store import open_store

    _check_new(args.out, force=args.force)
    config = load_config(args.config)
    check_gallery_exists(config)
    rights = _read_rights(config)
    passphrase = read_passphrase(args, again=True)

    def build(key: bytes) -> bytes:
        bundle = open_bundle(config.bundle, PREPROCESSING)
        store = open_store(
            config,
            bundle.model_digest,
            key,
            compatible_with=bundle.compatible_with,
            allow_other_models=True,
        )
        with closing(store):
            content, people = export.build_export(store, passphrase, args.subject, rights)
        return _joined(people, content)

    people, content = _split(run_as_owner(config, build))
    encrypted_file.write_encrypted_file(args.out, content)
    print(
        f"{args.out}: {format_count(people, 'person', 'people')}; protect it like the gallery, and "
        "erase it after the import"
    )
    return common.DONE


def _read_rights(config: TerminalConfig) -> dict[str, PersonRights]:
    """Return the rights of people. Raises ConfigError: without them a file would open more."""
    rights = read_rights(config)
    if rights is None:
        raise ConfigError(
            f"{config.people_path}: the file takes the rights of people along, and this account "
            "may not read them; run this as root"
        )
    return rights


def _check_new(path: Path, *, force: bool) -> None:
    """Raise ConfigError if the file cannot be written, or exists and may not be replaced."""
    common.check_output_files(path)
    if path.exists() and not force:
        raise ConfigError(f"{path}: exists; name another file, or replace it with --force")


def _joined(value: object, content: bytes) -> bytes:
    """Join a JSON value and a file's content, to pass both to another process."""
    return json.dumps(value).encode() + b"\n" + content


def _split(joined: bytes) -> tuple[Any, bytes]:
    value, _, content = joined.partition(b"\n")
    return json.loads(value), content


def import_people(args: argparse.Namespace) -> int:
    from edge.gallery import encrypted_file, export

    passphrase = read_passphrase(args)
    file = encrypted_file.read_encrypted_file(args.file)
    content, config = export.read_export(file, passphrase), load_config(args.config)
    with change_rights(
        config, _rights_of(content.people), common.change_author("edge-gallery")
    ) as done:
        _, bundle, store = gallery_common.open_gallery(args, allow_other_models=True, create=True)
        with closing(store):
            result = export.import_people(
                store,
                content,
                _import_policy(config),
                dimension=bundle.manifest.embedding,
                replace=args.replace,
            )
            done.update(result.imported)
            _print_refused(result.refused)
            imported = format_count(len(result.imported), "person", "people")
            print(f"{imported} imported, {len(result.refused)} refused")
            confirm(config, store)
    return common.FAILED if result.refused else common.DONE


def _rights_of(people: Iterable[StoredSubject]) -> dict[str, dict[str, object]]:
    """Return the rights that a file gives, by name; those that it leaves out stay as they are."""
    found = {person.name: person.record.unmoved_rights for person in people}
    return {
        name: {} if rights is None else {key: one for key, one in asdict(rights).items() if one}
        for name, rights in found.items()
    }


def _import_policy(config: TerminalConfig) -> ImportPolicy:
    """Return the rules of an enrollment for people from a file."""
    from edge.gallery.import_policy import ImportPolicy

    today = partial(trusted_day, config, "the day of erasure would be wrong")
    return ImportPolicy(today, config.enrollment.consent, config.enrollment.erase_after_days)


def _print_refused(refused: Mapping[str, str]) -> None:
    for name, why in refused.items():
        print(f"edge-gallery: refused: {name}: {why}", file=sys.stderr)


def _print_left_out(rows: Iterable[str]) -> None:
    for row in rows:
        print(f"edge-gallery: left out, damaged: {row}", file=sys.stderr)


def back_up_gallery(args: argparse.Namespace) -> int:
    from edge.gallery import backup, encrypted_file
    from edge.gallery.database import Database
    from edge.gallery.key import run_as_owner

    _check_new(args.file, force=args.force)
    config = load_config(args.config)
    check_gallery_exists(config)
    rights = _read_rights(config)
    passphrase = read_passphrase(args, again=True)

    def build(key: bytes) -> bytes:
        with closing(Database(config.gallery_path, key=key, terminal=config.terminal)) as gallery:
            result = backup.build_backup(gallery, passphrase, rights)
        return _joined([result.people, result.left_out], result.content)

    (people, left_out), content = _split(run_as_owner(config, build))
    encrypted_file.write_encrypted_file(args.file, content)
    _print_left_out(left_out)
    print(
        f"{args.file}: {format_count(people, 'person', 'people')}; keep it and its passphrase "
        "apart from this terminal"
    )
    return common.FAILED if left_out else common.DONE


def restore_gallery(args: argparse.Namespace) -> int:
    from edge.gallery import backup, encrypted_file
    from edge.gallery.confirmation import await_confirmation
    from edge.gallery.database import Database
    from edge.gallery.key import has_gallery, load_key_and_drop_privileges

    config = load_config(args.config)
    if has_gallery(config) and not args.replace:
        raise GalleryError(
            f"{config.gallery_path}: a gallery exists; --replace replaces it by the backup, "
            "and all people enrolled since the backup are lost"
        )
    passphrase = read_passphrase(args)
    file = encrypted_file.read_encrypted_file(args.file)
    rights = read_rights(config) or {}  # before this process becomes the gallery's owner
    key = load_key_and_drop_privileges(config, create=True)
    save_clock_trust(config)
    result = backup.restore_backup(
        config.gallery_path, key, config.terminal, file, passphrase, _import_policy(config), rights
    )
    _print_refused(result.refused)
    _print_left_out(result.left_out)
    print(
        f"{format_count(result.people, 'person', 'people')} restored, {len(result.refused)} refused"
    )
    if result.unmoved:
        print(
            f"{format_count(result.unmoved, 'person has', 'people have')} other rights at the "
            "door; see edge-gallery move-rights --dry-run: until they are moved, people with a "
            "first or last day, a number of uses or a mode are refused"
        )
    with closing(Database(config.gallery_path, key=key, terminal=config.terminal)) as gallery:
        await_confirmation(config, gallery.read_position())
    return common.FAILED if result.refused or result.left_out else common.DONE
