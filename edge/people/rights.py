"""Rights of people, which the door process owns, changed together with the gallery."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from edge.config import TerminalConfig
from edge.door.client import DoorClient
from edge.door.commands import AccessCommand
from edge.door.credential_editor import edit_credentials
from edge.door.credentials_file import PersonEntry, file_version, read_document
from edge.door.events import describe_refusal
from edge.door.name_locks import lock_names
from edge.door.rights_change import PendingRights, begin_change, end_change
from edge.errors import ConfigError, DoorError
from edge.names import NAME_MAX, name_key
from edge.people.author import ChangeAuthor
from edge.subject import PersonRights, RightsChange
from edge.system.accounts import account_name
from edge.system.privileged_child import Work, start_privileged_child
from edge.system.text import format_count

_LOADED_S, _LOADED_S_PER_MIB, _POLL_S = 5.0, 2.0, 0.05


@contextlib.contextmanager
def change_rights(
    config: TerminalConfig, changes: Mapping[str, RightsChange], author: ChangeAuthor
) -> Iterator[set[str]]:
    """Change rights by name, together with what the block does to the gallery.

    Add the names of people whose change is done to the set: at the end these get the new rights,
    the others those from before. In between people have at most both. The block may give up the
    account of root. Raises ConfigError, DoorError.
    """
    wanted = {name: change for name, change in changes.items() if change}
    if wanted:
        check_may_change(config)
        with lock_all_names(config, changes), _change(config, wanted, author) as done:
            yield done
    elif may_change(config) and config.people_path.exists():
        with lock_all_names(config, changes):  # entries that exist must not be removed meanwhile
            yield set()
    else:
        yield set()


@contextlib.contextmanager
def _change(
    config: TerminalConfig, wanted: Mapping[str, RightsChange], author: ChangeAuthor
) -> Iterator[set[str]]:
    done: set[str] = set()
    announce_change(config, list(wanted), author)
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        pending = begin_change(editor, wanted)
    with _keep_privileges(config, partial(_end, config, pending)) as end:
        try:
            await_door(config)
            yield done
        finally:
            end(sorted(done))


@contextlib.contextmanager
def lock_all_names(config: TerminalConfig, names: Collection[str]) -> Iterator[None]:
    """Lock names for a block. Raises DoorError if another command keeps one locked."""
    with lock_names(config.name_locks_path, names) as locked:
        if busy := sorted(set(names) - locked):
            listed = busy[0] if len(names) == 1 else format_count(len(busy), "person", "people")
            raise DoorError(
                f"{listed}: another command enrolls, changes or removes the same people; wait "
                "until it has ended, then run this again"
            )
        yield


def _end(config: TerminalConfig, pending: Mapping[str, PendingRights], done: list[str]) -> None:
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        end_change(editor, pending, done)
    await_door(config)


@dataclass
class Removal:
    """People who leave gallery and door.

    `begin` is called before they are erased from the gallery, which may be interrupted: what is
    then left is removed by the next `edge-gallery expire`.
    """

    begin: Work
    leftovers: int  # people whose earlier removal was interrupted
    erased: set[str] = field(default_factory=set)  # from the gallery, and all recognisers agree
    removes_leftovers: bool = False  # all recognisers use the gallery as it is


@contextlib.contextmanager
def remove_rights(config: TerminalConfig, author: ChangeAuthor) -> Iterator[Removal]:
    """Remove people from the door after the block has erased them from the gallery.

    A face without an entry at the door has no limits: entries of people who are enrolled again, or
    whose entry changes in the meantime, stay. The block may give up the account of root.
    Raises DoorError, GalleryError.
    """
    if not may_change(config):
        removal = Removal(lambda names: None, leftovers=0)
        yield removal
        if removal.erased:
            author.warn(
                f"{config.people_path}: unchanged, this account may not write it; run "
                "edge-door person list --not-enrolled, then edge-door person remove, as root"
            )
        return
    with (
        _keep_privileges(config, partial(_begin_removal, config)) as begin,
        _keep_privileges(config, partial(_remove, config, author)) as remove,
    ):
        removal = Removal(begin, len(_read_leaving(config)))
        yield removal
        if removal.erased or removal.removes_leftovers:
            remove(sorted(removal.erased))


def _read_leaving(config: TerminalConfig) -> tuple[str, ...]:
    """Return the people whose removal has begun; none if the file is damaged."""
    with contextlib.suppress(DoorError):  # it is reported after people are erased
        return read_document(config.people_path, config.people_key_path).leaving
    return ()


def _begin_removal(config: TerminalConfig, names: list[str]) -> None:
    if not config.people_path.exists():
        return
    try:
        known = read_entries(config)
    except DoorError:  # it is reported after people are erased
        return
    if config.zones_path.exists() or any(name_key(name) in known for name in names):
        with edit_credentials(config.people_path, config.people_key_path) as editor:
            editor.begin_removal(names)


def _remove(config: TerminalConfig, author: ChangeAuthor, names: list[str]) -> None:
    """Remove people and those who are left of an earlier removal."""
    entries, leaving = read_entries(config), _read_leaving(config)
    wanted = list({name_key(name): name for name in (*leaving, *names)}.values())
    present = [name for name in wanted if name_key(name) in entries]
    kept = _remove_entries(config, author, wanted) if present or leaving else set()
    known = {name: entries[name_key(name)].name for name in present}  # as the door spells it
    gone = [known.get(name, name) for name in wanted if name not in kept]
    erase_at_door(config, gone, author)
    if leaving:
        with edit_credentials(config.people_path, config.people_key_path) as editor:
            editor.end_removal(gone)
    changed = kept & set(names) & set(present)
    if changed:  # without names: a timer's output is in the journal
        raise DoorError(
            f"{config.people_path}: {format_count(len(changed), 'entry', 'entries')} not removed: "
            "enrolled again, or changed by another command; see edge-door person list "
            "--not-enrolled, then run edge-door person remove"
        )


def _remove_entries(config: TerminalConfig, author: ChangeAuthor, names: list[str]) -> set[str]:
    """Remove entries of people whose removal has begun.

    Return the names of people who are enrolled, or whose entry stays.
    """
    announce_change(config, names, author)
    with (
        lock_names(config.name_locks_path, names) as locked,
        edit_credentials(config.people_path, config.people_key_path) as editor,
    ):
        enrolled = find_enrolled(config, names)
        editor.end_removal(enrolled)
        editor.remove_leaving(locked - set(enrolled))
        left = {name_key(one.name) for one in editor.document.people}
    await_door(config)
    return {name for name in names if name in enrolled or name_key(name) in left}


def erase_at_door(config: TerminalConfig, names: Collection[str], author: ChangeAuthor) -> None:
    """Let all doors that run erase removed people from zones and lockouts.

    Raises DoorError if one refuses, or if none runs and there are zones.
    """
    running = 0
    for path in config.find_door_sockets():
        with closing(DoorClient(path)) as client:
            try:
                for name in names:
                    refused = client.command(
                        AccessCommand.ERASE_PERSON.value, author.reason, name, user=author.user
                    )
                    if refused is not None:
                        raise DoorError(f"{path}: not erased: {describe_refusal(refused)}")
            except DoorError as error:
                if not _is_absent(error):
                    raise
            else:
                running += 1
    if names and not running and config.zones_path.exists():
        raise DoorError(
            f"{config.zones_path}: may hold the names of the removed people, and no door runs to "
            "erase them; start edge-door, then run edge-door erase-person for each name"
        )


def find_enrolled(config: TerminalConfig, names: list[str]) -> list[str]:
    """Return the names that are in the gallery. Raises GalleryError."""
    from edge.gallery.database import Database
    from edge.gallery.key import has_gallery, run_as_owner

    def find(key: bytes) -> bytes:
        with closing(Database(config.gallery_path, key=key, terminal=config.terminal)) as gallery:
            return json.dumps([one for one in names if gallery.find_row(one)]).encode()

    return list(json.loads(run_as_owner(config, find))) if has_gallery(config) else []


def read_entries(config: TerminalConfig) -> dict[str, PersonEntry]:
    """Return the entries at the door by key of the name. Raises DoorError."""
    people = read_document(config.people_path, config.people_key_path).people
    return {name_key(person.name): person for person in people}


@contextlib.contextmanager
def _keep_privileges(config: TerminalConfig, work: Work) -> Iterator[Work]:
    """Yield the work; a child process does it if this one will become the gallery's owner."""
    is_root = os.geteuid() == 0
    if not is_root or not config.state.exists() or config.state.stat().st_uid == 0:
        yield work
        return
    with start_privileged_child(work) as asked:
        yield asked


def may_change(config: TerminalConfig) -> bool:
    """Return True if this account may change the rights of people."""
    return os.geteuid() in (0, _owner(config))


def check_may_change(config: TerminalConfig) -> None:
    """Raise ConfigError if this account may not change the rights of people."""
    if not may_change(config):
        raise ConfigError(
            f"{config.people_path}: the door process owns the rights of people, and the account "
            f"{account_name(os.geteuid())} may not change them; run this as root, or without "
            "rights (groups, first and last day, extended)"
        )


def _owner(config: TerminalConfig) -> int:
    folder = config.people_path.parent
    return next(one for one in (folder, *folder.parents) if one.exists()).stat().st_uid


def announce_change(config: TerminalConfig, names: list[str], author: ChangeAuthor) -> None:
    """Let each running door record operator and reason before a change.

    Raises DoorError if one refuses.
    """
    listed = ", ".join(names)
    if len(listed) > NAME_MAX:
        listed = format_count(len(names), "person", "people")
    absent: list[DoorError] = []
    unrecorded: list[DoorError] = []
    recorded = 0
    for path in config.find_door_sockets():
        with closing(DoorClient(path)) as client:
            try:
                refused = client.command(
                    AccessCommand.CHANGE_PEOPLE.value, author.reason, listed, user=author.user
                )
            except DoorError as error:
                (absent if _is_absent(error) else unrecorded).append(error)
                continue
        if refused is not None:
            raise DoorError(f"{path}: rights: the door refused: {describe_refusal(refused)}")
        recorded += 1
    for problem in [*unrecorded, *([] if recorded or unrecorded else absent)]:
        author.warn(f"the change is not in the audit log: {problem}")


def await_door(config: TerminalConfig) -> None:
    """Wait until each running door of the terminal uses the file of people as it is.

    Raises DoorError if it takes too long, or a door that runs does not answer.
    """
    limit_s = _LOADED_S + _LOADED_S_PER_MIB * _size_mib(config.people_path)
    ends_at = time.monotonic() + limit_s
    for path in config.find_door_sockets():
        with closing(DoorClient(path)) as client:
            while (problem := _find_delay(client, config)) is not None:
                if time.monotonic() >= ends_at:
                    raise DoorError(
                        f"{path}: edge-door has not loaded the change of {config.people_path} in "
                        f"{limit_s:.0f} s: {problem}; see edge-door status"
                    )
                time.sleep(_POLL_S)


def _size_mib(path: Path) -> float:
    """Return the size of a file, 0 without it."""
    try:
        return path.stat().st_size / (1 << 20)
    except OSError:
        return 0.0


def _find_delay(client: DoorClient, config: TerminalConfig) -> str | None:
    """Return why a door does not use the file as it is yet, None if it does or does not run."""
    try:
        status: dict[str, Any] = client.status()
    except DoorError as error:  # a door that does not run reads the file at its start
        return None if _is_absent(error) else str(error)
    loaded = status.get("access", {}).get("people_version")
    return None if loaded == file_version(config.people_path) else "it uses an earlier version"


def _is_absent(error: DoorError) -> bool:
    """Return True if no door process listens; one that is late or closes the connection runs."""
    return isinstance(error.__cause__, (FileNotFoundError, ConnectionRefusedError))


def read_rights(config: TerminalConfig) -> dict[str, PersonRights] | None:
    """Return the rights by key of the name, None if this account may not read them.

    Raises DoorError for a damaged file.
    """
    if not may_change(config):
        return None
    return {key: person.rights for key, person in read_entries(config).items()}


def describe_rights(rights: PersonRights) -> list[str]:
    """Return the rights that differ from their defaults."""
    return [
        *rights.groups,
        *([f"from {rights.valid_from}"] if rights.valid_from else []),
        *([f"until {rights.valid_until}"] if rights.valid_until else []),
        *(["extended"] if rights.extended else []),
        *([f"{rights.max_uses} visits"] if rights.max_uses else []),
        *([rights.mode] if rights.mode else []),
        *(["no anti-passback"] if rights.anti_passback_exempt else []),
    ]
