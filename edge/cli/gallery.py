"""`edge-gallery`: who is enrolled, what is known of them, and looking after the gallery's file."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli import common
from edge.cli.clock import save_clock_trust, trusted_day
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError, GalleryError
from edge.names import name_key, parse_groups
from edge.parsing import parse_day
from edge.system.text import count

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.gallery.import_policy import ImportPolicy
    from edge.gallery.store import GalleryStore, Subject


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-gallery",
        "Who is enrolled, what is known of them, and looking after the gallery. A running recogniser sees changes within a second.",
        "edge-gallery list --config terminal.yaml",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = _adder(commands)
    listed = add("list", _list, "the people, with what each may and how many templates there are")
    shown = add(
        "show",
        _show,
        "everything that is kept of one person, for whoever asks what that is",
        subject=True,
    )
    removed = add("remove", _remove, "erase people and search the gallery's files for remnants")
    _add_subject(removed, "a person to erase; may be repeated", action="append", required=True)
    changed = add("set", _set, "change what is known of a person", subject=True)
    expire = add("expire", _expire, "erase all people whose day of erasure has come")
    stats = add("stats", _stats, "how large the gallery is, and what that means for the threshold")
    verify = add("verify", _verify, "check that every row is valid and no erased data is left")
    out = add(
        "export", _export, "write people to an encrypted file, for another terminal of the site"
    )
    into = add("import", _import, "enroll people from such a file, also on a new terminal")
    saved = add("backup", _backup, "write the gallery to an encrypted file")
    back = add("restore", _restore, "make the gallery from such a file, also on a new terminal")
    migrate = add(
        "migrate",
        _migrate,
        "enroll people again for the bundle's model, from the chips that were kept",
    )
    add(
        "rotate-key",
        _rotate,
        "seal everything by a fresh key; a recogniser that is a service needs a restart",
    )
    _add_json(listed, shown, stats, verify)
    _add_changes(changed)
    _add_erasure(expire, verify, migrate)
    _add_files(out, into, saved, back)
    args = parser.parse_args(argv)
    return common.run("edge-gallery", lambda: int(args.does(args)))


def _add_erasure(
    expire: argparse.ArgumentParser,
    verify: argparse.ArgumentParser,
    migrate: argparse.ArgumentParser,
) -> None:
    """Add the options of commands that erase data."""
    expire.add_argument("--dry-run", action="store_true", help="only print the names")
    verify.add_argument(
        "--repair",
        action="store_true",
        help="first rewrite the file without erased data",
    )
    migrate.add_argument(
        "--drop-other-models",
        action="store_true",
        help="then erase the templates of all other models",
    )


def _add_files(
    out: argparse.ArgumentParser,
    into: argparse.ArgumentParser,
    saved: argparse.ArgumentParser,
    back: argparse.ArgumentParser,
) -> None:
    """Add the options of export, import, backup and restore."""
    out.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    _add_subject(
        out, "a person to export; may be repeated; default: all people", action="append", default=[]
    )
    into.add_argument("file", type=Path, help="made by edge-gallery export")
    into.add_argument(
        "--replace",
        action="store_true",
        help="people who are enrolled here are replaced, not refused",
    )
    saved.add_argument("file", type=Path, metavar="FILE", help="the file to write")
    back.add_argument("file", type=Path, metavar="FILE", help="made by edge-gallery backup")
    back.add_argument("--replace", action="store_true", help="replace the existing gallery")
    for sub in (out, saved):
        sub.add_argument("--force", action="store_true", help="replace a file that exists")
    for sub in (out, into, saved, back):
        sub.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="its first line; default: asked for",
        )


def _add_subject(sub: argparse.ArgumentParser, words: str, **more: Any) -> None:
    sub.add_argument("--subject", type=common.subject_name, metavar="NAME", help=words, **more)


def _add_json(*subs: argparse.ArgumentParser) -> None:
    for sub in subs:
        sub.add_argument("--json", action="store_true", help="for machines")


def _adder(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> Callable[..., argparse.ArgumentParser]:
    def add(
        name: str, does: Callable[[argparse.Namespace], int], words: str, *, subject: bool = False
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words)
        common.add_config(sub)
        sub.set_defaults(does=does)
        if subject:
            _add_subject(sub, "name of the person, in any Unicode spelling", required=True)
        return sub

    return add


def _add_changes(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--extended",
        choices=("on", "off"),
        help="whether the door stays open for door.extended_pulse_s",
    )
    sub.add_argument(
        "--valid-from", type=_day, metavar="DAY", help="such as 2026-12-01; `none`: no limit"
    )
    sub.add_argument(
        "--valid-until", type=_day, metavar="DAY", help="the last day; `none`: no limit"
    )
    sub.add_argument(
        "--groups",
        type=common.option_type(parse_groups),
        metavar="NAMES",
        help="groups of `policy.groups`, such as staff,night; empty: none",
    )
    sub.add_argument(
        "--mask", choices=("as-configured", "any"), help="any: let in with and without one"
    )
    sub.add_argument(
        "--liveness",
        choices=("as-configured", "no-challenge"),
        help="no-challenge: never asked to turn",
    )
    sub.add_argument(
        "--erase-on",
        type=_day,
        metavar="DAY",
        help="day from which `expire` erases the person; `none`: never",
    )
    sub.add_argument(
        "--pin",
        action="store_true",
        help="ask for a PIN and store it; the door does not use it yet",
    )
    sub.add_argument("--no-pin", action="store_true", help="remove the PIN")


def _day(text: str) -> date | str:
    if text == "none":
        return text
    try:
        return parse_day(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"{error}; or none") from error


def _open(
    args: argparse.Namespace, *, allow_other_models: bool = False, create: bool = False
) -> tuple[TerminalConfig, Bundle, GalleryStore]:
    """Open config, bundle and gallery. Raises GalleryError if there is none, unless `create`."""
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING
    from edge.gallery.key import load_key_and_drop_privileges
    from edge.gallery.store import open_store

    config = load_config(args.config)
    if not create:
        _demand_gallery(config)
    key = load_key_and_drop_privileges(config)
    save_clock_trust(config)
    bundle = open_bundle(config.bundle, PREPROCESSING)
    return (
        config,
        bundle,
        open_store(config, bundle.model_digest, key, allow_other_models=allow_other_models),
    )


def _demand_gallery(config: TerminalConfig) -> None:
    from edge.gallery.key import has_gallery

    if not has_gallery(config):
        raise GalleryError(
            f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll, by "
            "edge-gallery import, or from a backup by edge-gallery restore"
        )


def _confirm(config: TerminalConfig, store: GalleryStore) -> None:
    """Wait until a running recogniser has the store's present state. Raises GalleryError."""
    from edge.gallery.confirmation import await_confirmation

    await_confirmation(config, store.read_position())


def _list(args: argparse.Namespace) -> int:
    config, bundle, store = _open(args)
    with closing(store):
        everybody = store.read_subjects()
    if args.json:
        print(
            json.dumps(
                {known.name: _told(known) for known in everybody},
                ensure_ascii=False,
                default=date.isoformat,
            )
        )
        return common.DONE
    for known in everybody:
        print(f"{len(known.templates):4d}  {known.name}{_remarks(known)}")
    print(
        f"{count(len(everybody), 'subject')}; {_thresholds(config, bundle, sum(len(known.templates) for known in everybody))}"
    )
    return common.DONE


def _thresholds(config: TerminalConfig, bundle: Bundle, templates: int) -> str:
    """What a gallery of this size means for who is let in."""
    from edge.access import policy
    from edge.recogniser.build import build_rules

    return policy.describe_thresholds(
        build_rules(config.policy, bundle.calibration(config.engine.precision)), templates
    )


def _told(known: Subject) -> dict[str, object]:
    """What may be shown of a subject: not the PIN's hash."""
    told = {**asdict(known.record), "pin": bool(known.record.pin)}
    return {"templates": len(known.templates), **told}


def _remarks(known: Subject) -> str:
    """What differs from a plain subject."""
    record = known.record
    remarks = [
        *(["extended"] if record.extended else []),
        *([f"from {record.valid_from}"] if record.valid_from else []),
        *([f"until {record.valid_until}"] if record.valid_until else []),
        *record.groups,
        *(["any mask"] if record.mask == "any" else []),
        *([record.liveness] if record.liveness != "as-configured" else []),
        *(["PIN"] if record.pin else []),
        *([f"erase on {record.erase_on}"] if record.erase_on else []),
        *([] if len(known.templates) else ["of another model"]),
    ]
    return f"  ({', '.join(remarks)})" if remarks else ""


def _show(args: argparse.Namespace) -> int:
    _, _, store = _open(args, allow_other_models=True)
    with closing(store):
        record, kept = store.find_record(args.subject), store.list_templates(args.subject)
    if record is None:
        raise GalleryError(f"{args.subject!r} is not enrolled; edge-gallery list shows who is")
    told = {
        "subject": args.subject,
        **asdict(record),
        "pin": bool(record.pin),
        "templates": [{"model": one.model, "chip_kept": one.chip is not None} for one in kept],
    }
    if args.json:
        print(json.dumps(told, ensure_ascii=False, default=date.isoformat))
    else:
        for key, value in told.items():
            print(f"{key:12s} {json.dumps(value, ensure_ascii=False, default=date.isoformat)}")
    return common.DONE


def _remove(args: argparse.Namespace) -> int:
    config, _, store = _open(args, allow_other_models=True)
    with closing(store):
        for name in args.subject:  # all names are checked before anything is erased
            if store.find_record(name) is None:
                raise GalleryError(f"{name!r} is not enrolled; edge-gallery list shows who is")
        for name in {name_key(name): name for name in args.subject}.values():
            removed = store.remove(name)
            print(
                f"{name}: erased with {count(removed, 'template')}; no data of this person is left "
                "in the gallery's files"
            )
        _confirm(config, store)
    return common.DONE


def _set(args: argparse.Namespace) -> int:
    config, _, store = _open(args, allow_other_models=True)
    with closing(store):
        record = store.find_record(args.subject)
        if record is None:
            raise GalleryError(f"{args.subject!r} is not enrolled; edge-gallery list shows who is")
        changes: dict[str, object] = {
            name: None if value == "none" else value
            for name in ("valid_from", "valid_until", "erase_on", "mask", "liveness", "groups")
            if (value := getattr(args, name)) is not None
        }
        if args.extended is not None:
            changes["extended"] = args.extended == "on"
        if not (changes or args.pin or args.no_pin):
            raise ConfigError("nothing to set was named; see edge-gallery set --help")
        fresh = replace(record, **changes)  # type: ignore[arg-type]
        if fresh.valid_from and fresh.valid_until and fresh.valid_from > fresh.valid_until:
            raise ConfigError(f"valid from {fresh.valid_from}, which is after {fresh.valid_until}")
        pin = _secret("PIN") if args.pin else None
        if changes:
            store.update_attributes(args.subject, fresh)
        if args.pin or args.no_pin:
            store.set_pin(args.subject, pin)
        changed = [*changes, *(["pin"] if args.pin or args.no_pin else [])]
        print(f"{args.subject}: {', '.join(changed)} changed")
        _confirm(config, store)
    return common.DONE


def _expire(args: argparse.Namespace) -> int:
    config, _, store = _open(args, allow_other_models=True)
    with closing(store):
        over = store.expired_subjects(trusted_day(config, "nothing was erased"))
        for name in over:  # names only for an operator: the timer's output is in the journal
            if args.dry_run:
                print(f"{name}: would be erased")
            else:
                _expire_one(store, name)
        print(
            f"{count(len(over), 'person', 'people')} {'would be ' if args.dry_run else ''}erased: "
            "the retention period is over"
        )
        if over and not args.dry_run:
            _confirm(config, store)
    return common.DONE


def _expire_one(store: GalleryStore, name: str) -> None:
    """Erase a person; raises GalleryError without the name, for the timer's journal."""
    try:
        store.remove(name)
    except GalleryError as error:
        raise GalleryError(
            f"{store.path}: a person whose time is over is not erased completely: "
            f"{error.__cause__ or 'the gallery changed meanwhile'}; run edge-gallery verify "
            "--repair, then edge-gallery expire again"
        ) from error


def _stats(args: argparse.Namespace) -> int:
    config, bundle, store = _open(args, allow_other_models=True)
    with closing(store):
        everybody, models = store.read_subjects(), store.count_by_model()
        size = sum(
            file.stat().st_size
            for file in config.gallery_path.parent.glob(f"{config.gallery_path.name}*")
        )
    templates = [len(known.templates) for known in everybody]
    told: dict[str, object] = {
        "subjects": len(everybody),
        "templates": sum(templates),
        "most_templates_of_one": max(templates, default=0),
        "without_templates_of_this_model": templates.count(0),
        "without_consent": sum(known.record.consent is None for known in everybody),
        "with_pin": sum(bool(known.record.pin) for known in everybody),
        "to_be_erased_one_day": sum(known.record.erase_on is not None for known in everybody),
        "models": {model[:12]: count for model, count in models.items()},
        "bytes": size,
        "supported_templates": bundle.calibration(config.engine.precision).gallery_size,
    }
    if args.json:
        print(json.dumps(told))
    else:
        for key, value in told.items():
            print(f"{key.replace('_', ' '):34s} {value}")
        print(_thresholds(config, bundle, sum(templates)))
    return common.DONE


def _verify(args: argparse.Namespace) -> int:
    from edge.gallery import maintenance

    _, _, store = _open(args, allow_other_models=True)
    with closing(store):
        if args.repair:
            store.compact()
        findings = maintenance.verify(store)
    if args.json:
        print(json.dumps({"findings": findings}))
    else:
        for finding in findings:
            print(f"  {finding}")
        print(
            count(len(findings), "finding")
            if findings
            else "every row is valid, and free pages are empty"
        )
    return common.FAILED if findings else common.DONE


def _export(args: argparse.Namespace) -> int:
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING
    from edge.gallery import encrypted_file, export
    from edge.gallery.key import run_as_owner
    from edge.gallery.store import open_store

    _check_new(args.out, force=args.force)
    config = load_config(args.config)
    _demand_gallery(config)
    passphrase = _passphrase(args, again=True)

    def pack(key: bytes) -> bytes:
        model = open_bundle(config.bundle, PREPROCESSING).model_digest
        with closing(open_store(config, model, key, allow_other_models=True)) as store:
            content, people = export.build_export(store, passphrase, args.subject)
        return _joined(people, content)

    people, content = _split(run_as_owner(config, pack))
    encrypted_file.write_encrypted_file(args.out, content)
    print(
        f"{args.out}: {count(people, 'person', 'people')}; keep it like the gallery itself, and erase it once it is "
        "imported"
    )
    return common.DONE


def _check_new(path: Path, *, force: bool) -> None:
    """Raise ConfigError if the file cannot be written, or exists and may not be replaced."""
    common.check_out(path)
    if path.exists() and not force:
        raise ConfigError(f"{path}: exists; name another file, or replace it with --force")


def _joined(value: object, content: bytes) -> bytes:
    """Join a JSON value and a file's content, to pass both to another process."""
    return json.dumps(value).encode() + b"\n" + content


def _split(joined: bytes) -> tuple[Any, bytes]:
    value, _, content = joined.partition(b"\n")
    return json.loads(value), content


def _import(args: argparse.Namespace) -> int:
    from edge.gallery import encrypted_file, export
    from edge.recogniser.networks import open_networks

    passphrase, file = _passphrase(args), encrypted_file.read_encrypted_file(args.file)
    config, _, store = _open(args, allow_other_models=True, create=True)
    with closing(store):
        networks = open_networks(config)
        try:
            dimension = networks.embedder.dimension()
        finally:
            networks.close()
        result = export.import_people(
            store,
            file,
            passphrase,
            _admission(config),
            dimension=dimension,
            replace=args.replace,
        )
        _print_refused(result.refused)
        print(
            f"{count(result.imported, 'person', 'people')} imported, {len(result.refused)} refused"
        )
        _confirm(config, store)
    return common.FAILED if result.refused else common.DONE


def _admission(config: TerminalConfig) -> ImportPolicy:
    """Return the rules of an enrollment for people from a file."""
    from edge.gallery.import_policy import ImportPolicy

    keeping = config.enrollment
    today = partial(trusted_day, config, "the day of erasure would be wrong")
    return ImportPolicy(today, keeping.consent, keeping.erase_after_days)


def _print_refused(refused: Mapping[str, str]) -> None:
    for name, why in refused.items():
        print(f"edge-gallery: refused: {name}: {why}", file=sys.stderr)


def _backup(args: argparse.Namespace) -> int:
    from edge.gallery import backup, encrypted_file
    from edge.gallery.database import Database
    from edge.gallery.key import run_as_owner

    _check_new(args.file, force=args.force)
    config = load_config(args.config)
    _demand_gallery(config)
    passphrase = _passphrase(args, again=True)

    def pack(key: bytes) -> bytes:
        with closing(Database(config.gallery_path, key=key, terminal=config.terminal)) as gallery:
            packed = backup.build_backup(gallery, passphrase)
        return _joined([packed.people, packed.left_out], packed.content)

    (people, left_out), content = _split(run_as_owner(config, pack))
    encrypted_file.write_encrypted_file(args.file, content)
    for row in left_out:
        print(f"edge-gallery: left out, damaged: {row}", file=sys.stderr)
    print(
        f"{args.file}: {count(people, 'person', 'people')}; keep it and its passphrase apart from this terminal"
    )
    return common.FAILED if left_out else common.DONE


def _restore(args: argparse.Namespace) -> int:
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
    passphrase, file = _passphrase(args), encrypted_file.read_encrypted_file(args.file)
    key = load_key_and_drop_privileges(config, create=True)
    save_clock_trust(config)
    result = backup.restore_backup(
        config.gallery_path, key, config.terminal, file, passphrase, _admission(config)
    )
    _print_refused(result.refused)
    for row in result.left_out:
        print(f"edge-gallery: left out, damaged: {row}", file=sys.stderr)
    print(f"{count(result.people, 'person', 'people')} restored, {len(result.refused)} refused")
    with closing(Database(config.gallery_path, key=key, terminal=config.terminal)) as gallery:
        await_confirmation(config, gallery.read_position())
    return common.FAILED if result.refused or result.left_out else common.DONE


def _migrate(args: argparse.Namespace) -> int:
    from edge.gallery import maintenance, template_migration
    from edge.recogniser.networks import open_networks

    config, bundle, store = _open(args, allow_other_models=True)
    with closing(store):
        told = template_migration.migrate_templates(store, open_networks(config).embedder)
        print(
            f"{count(len(told.enrolled), 'person', 'people')} enrolled again "
            f"for model {bundle.model_digest[:12]}, {told.already_enrolled} had templates of it"
        )
        for name in told.not_enrolled:
            print(f"  must come by: {name}")
        if args.drop_other_models and told.not_enrolled:
            raise GalleryError(
                f"{count(len(told.not_enrolled), 'person', 'people')} must be enrolled again first; "
                "then run this again with --drop-other-models"
            )
        for model in store.count_by_model() if args.drop_other_models else ():
            if model != bundle.model_digest:
                print(
                    f"{count(maintenance.drop_model(store, model), 'template')} of model {model[:12]} erased"
                )
        _confirm(config, store)
    return common.FAILED if told.not_enrolled else common.DONE


def _rotate(args: argparse.Namespace) -> int:
    from edge.gallery import key_rotation

    config = load_config(args.config)
    key_rotation.rotate_key(config)
    print("everything is sealed by a fresh key")
    key_rotation.confirm_rotation(config)
    return common.DONE


def _passphrase(args: argparse.Namespace, *, again: bool = False) -> str:
    if args.passphrase_file is None:
        return _secret("passphrase", again=again, instead="--passphrase-file FILE")
    try:  # Windows editors begin a file with a byte order mark
        first, *_ = args.passphrase_file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{args.passphrase_file}: {_reason(error)}; check the path") from error
    except ValueError as error:  # also from bytes that are not UTF-8
        raise ConfigError(
            f"{args.passphrase_file}: expected a passphrase in its first line"
        ) from error
    return str(first)


def _reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)


def _secret(what: str, *, again: bool = True, instead: str = "") -> str:
    """Ask for a secret on the terminal and never show it; raises ConfigError."""
    if not sys.stdin.isatty():
        remedy = f"use {instead}" if instead else "run this in one"
        raise ConfigError(f"the {what} is asked for on a terminal, found none; {remedy}")
    found = getpass.getpass(f"{what}: ")
    if again and getpass.getpass(f"{what} again: ") != found:
        raise ConfigError(f"the two {what}s differ; nothing was changed")
    return found


if __name__ == "__main__":
    sys.exit(main())
