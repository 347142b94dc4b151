"""Rights that change together with the gallery, which is another file.

Before the gallery changes, each person gets at most the rights from before and the new ones. A
crash at any time leaves nothing that opens more than one of both allows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from edge.door.credential_editor import CredentialEditor
from edge.door.credentials_file import PersonEntry
from edge.names import name_key
from edge.subject import PersonRights, RightsChange

_NO_DAY = date.min  # as first and last day: no access on any day


@dataclass(frozen=True, slots=True)
class PendingRights:
    """Rights of a person before, during and after a change."""

    before: PersonRights | None  # None: the person has no entry
    during: PersonRights
    after: PersonRights


def begin_change(
    editor: CredentialEditor, changes: Mapping[str, RightsChange]
) -> dict[str, PendingRights]:
    """Narrow the rights of people, by name. Raises ConfigError if the new ones are invalid."""
    people = _by_key(editor)
    pending = {}
    for name, change in changes.items():
        entry = people.get(name_key(name))
        before = None if entry is None else entry.rights
        values: Mapping[str, Any] = change
        after = replace(before or PersonRights(), **values)
        pending[name] = PendingRights(before, narrow(before or PersonRights(), after), after)
    editor.set_rights({name: one.after for name, one in pending.items()})
    editor.set_rights({name: one.during for name, one in pending.items()})
    return pending


def end_change(
    editor: CredentialEditor, pending: Mapping[str, PendingRights], done: Collection[str]
) -> None:
    """Give the new rights to people whose change is done, and the earlier ones to the others.

    Entries of the others that another command has changed since then stay as they are.
    """
    people = _by_key(editor)
    rights: dict[str, PersonRights | None] = {}
    for name, one in pending.items():
        entry = people.get(name_key(name))
        if name in done:
            rights[name] = one.after if entry is None else _keep_changed(entry.rights, one)
        elif entry is not None and _is_untouched(entry, one):
            rights[name] = one.before
    editor.set_rights(rights)


def narrow(one: PersonRights, other: PersonRights) -> PersonRights:
    """Return rights that open no more than each of both."""
    shared = set(map(name_key, other.groups))
    first = max((day for day in (one.valid_from, other.valid_from) if day), default=None)
    last = min((day for day in (one.valid_until, other.valid_until) if day), default=None)
    is_empty = first is not None and last is not None and last < first
    if is_empty or one.mode != other.mode:
        first = last = _NO_DAY  # which mode is stricter depends on the configured one
    return PersonRights(
        tuple(group for group in one.groups if name_key(group) in shared),
        first,
        last,
        one.extended and other.extended,
        min((uses for uses in (one.max_uses, other.max_uses) if uses), default=None),
        one.mode or other.mode,
        one.anti_passback_exempt and other.anti_passback_exempt,
    )


def take_over(
    editor: CredentialEditor, stored: Mapping[str, PersonRights]
) -> dict[str, PersonRights]:
    """Add rights that a gallery of an earlier version holds; return the resulting ones by name.

    The limits of both apply. Groups of the gallery count where the door has none.
    """
    people = _by_key(editor)
    rights = {}
    for name, found in stored.items():
        entry = people.get(name_key(name))
        rights[name] = found if entry is None else _join(entry.rights, found)
    editor.set_rights(rights)
    return rights


def _keep_changed(found: PersonRights, pending: PendingRights) -> PersonRights:
    """Return the rights after a change, with the limits that another command has set since then."""
    during, after = pending.during, pending.after
    if (found.max_uses, found.mode) == (during.max_uses, during.mode):
        return after
    return replace(after, max_uses=found.max_uses, mode=found.mode)


def _join(door: PersonRights, gallery: PersonRights) -> PersonRights:
    mode = door.mode or gallery.mode
    limits = narrow(replace(door, mode=mode), replace(gallery, mode=mode))
    groups = limits.groups if door.groups and gallery.groups else door.groups or gallery.groups
    return replace(limits, groups=groups, extended=door.extended or gallery.extended)


def _is_untouched(entry: PersonEntry, pending: PendingRights) -> bool:
    if pending.before is None:
        return entry == PersonEntry(name=entry.name, **asdict(pending.during))
    return entry.rights == pending.during


def _by_key(editor: CredentialEditor) -> dict[str, PersonEntry]:
    return {name_key(person.name): person for person in editor.document.people}
