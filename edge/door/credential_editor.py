"""Changes of people and credentials by commands. The door process only reads the file."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.door.credential_hashes import CredentialHasher, load_credential_key
from edge.door.credentials_file import (
    CredentialDocument,
    PersonEntry,
    read_document,
    write_document,
)
from edge.door.readers.events import PIN_DIGITS_MAX, CardRead
from edge.errors import AlreadyRunningError, ConfigError, DoorError
from edge.names import check_name, name_key, normalize_name
from edge.subject import PersonRights
from edge.system.lockfile import acquire_lock

PIN_DIGITS_MIN = 4
LOCK_WAIT_S, _POLL_S = 10.0, 0.02  # longest wait for another change
_CREDENTIALS = {"name", "cards", "pin", "duress_pin", "panel_card"}


class CredentialEditor:
    """Changes a document; each method raises DoorError or ConfigError and then changes nothing."""

    def __init__(self, document: CredentialDocument, key: bytes) -> None:
        self.document = document
        self._key = key
        self._hasher = CredentialHasher(key, bytes.fromhex(document.salt))

    def set_person(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Add a person, or change attributes of one: fields of `PersonEntry` except credentials."""
        if secret := attributes.keys() & _CREDENTIALS:
            raise ConfigError(f"{', '.join(sorted(secret))} cannot be set as attributes")
        self._update(name, dict(attributes))

    def set_rights(self, rights: Mapping[str, PersonRights | None]) -> None:
        """Set rights by name, also of people without an entry; None removes the person."""
        people = _by_key(self.document.people)
        for name, changed in rights.items():
            key = name_key(name)
            if changed is None:
                people.pop(key, None)
            else:
                people[key] = _change(name, people.get(key), asdict(changed))
        self._replace(tuple(people.values()))

    def begin_removal(self, names: Collection[str]) -> None:
        """Note people whose erasure from the gallery begins; a change of an entry ends that."""
        known = {name_key(name): name for name in (*self.document.leaving, *names)}
        self._replace(self.document.people, tuple(known.values()))

    def remove_leaving(self, names: Collection[str]) -> None:
        """Remove entries of people whose removal has begun; it goes on until `end_removal`."""
        keys = set(map(name_key, names)) & set(map(name_key, self.document.leaving))
        kept = tuple(one for one in self.document.people if name_key(one.name) not in keys)
        self._replace(kept, self.document.leaving)

    def end_removal(self, names: Collection[str]) -> None:
        """Forget people whose removal is done, or must not be done."""
        keys = set(map(name_key, names))
        kept = tuple(name for name in self.document.leaving if name_key(name) not in keys)
        self._replace(self.document.people, kept)

    def remove_person(self, name: str) -> None:
        person = self._get(name)
        self._replace(tuple(other for other in self.document.people if other is not person))

    def add_card(self, name: str, card: CardRead) -> None:
        self.add_card_digest(name, self._hasher.hash_card(card))

    def add_card_digest(self, name: str, digest: str) -> None:
        """Add a card, unless the person has it, by its digest under the key of the file."""
        person = self._get(name)
        if digest in person.cards:
            return
        if any(digest in other.cards for other in self.document.people):
            raise DoorError("the card is in use already; remove it from its holder first")
        self._update(name, {"cards": (*person.cards, digest)})

    def remove_card(self, name: str, card: CardRead) -> None:
        person, digest = self._get(name), self._hasher.hash_card(card)
        if digest not in person.cards:
            raise DoorError(f"{person.name!r} does not have this card; present the right one")
        self._update(name, {"cards": tuple(other for other in person.cards if other != digest)})

    def remove_cards(self, name: str) -> None:
        self._get(name)
        self._update(name, {"cards": ()})

    def set_pin(self, name: str, digits: str, duress_digits: str | None) -> None:
        """Set PIN and duress PIN, both unique; None: no duress PIN."""
        self._get(name)
        pin = self._hash_pin(digits)
        duress = None if duress_digits is None else self._hash_pin(duress_digits)
        others = {
            taken
            for person in self.document.people
            if name_key(person.name) != name_key(name)
            for taken in person.pins
        }
        if {pin, duress} & others or pin == duress:
            raise DoorError("this PIN cannot be used; choose another one")
        self._update(name, {"pin": pin, "duress_pin": duress})

    def remove_pin(self, name: str) -> None:
        """Remove PIN and duress PIN."""
        self._get(name)
        self._update(name, {"pin": None, "duress_pin": None})

    def set_panel_card(self, name: str, text: str | None) -> None:
        """Set the card that is reported to an access control panel; None: no card."""
        person = self._get(name)
        if text is None:
            self._update(name, {"panel_card": None})
            return
        from edge.door.sealed_cards import PanelCardBox

        box = PanelCardBox(self._key)
        for other in self.document.people:
            sealed = None if other is person else other.panel_card
            if sealed is not None and box.decrypt(other.name, sealed) == text:
                raise DoorError("the panel card is in use already; remove it first")
        self._update(name, {"panel_card": box.encrypt(person.name, text)})

    def _hash_pin(self, digits: str) -> str:
        valid = digits.isascii() and digits.isdigit()
        if not valid or not PIN_DIGITS_MIN <= len(digits) <= PIN_DIGITS_MAX:
            raise ConfigError(f"expected a PIN of {PIN_DIGITS_MIN} to {PIN_DIGITS_MAX} digits")
        return self._hasher.hash_pin(digits)

    def _find(self, name: str) -> PersonEntry | None:
        people = self.document.people
        return next((one for one in people if name_key(one.name) == name_key(name)), None)

    def _get(self, name: str) -> PersonEntry:
        if (person := self._find(name)) is None:
            raise DoorError(f"{name!r} is not a person of this door; add the person first")
        return person

    def _update(self, name: str, changes: dict[str, Any]) -> None:
        person, people = self._find(name), self.document.people
        changed = _change(name, person, changes)
        if person is None:
            self._replace((*people, changed))
        else:
            self._replace(tuple(changed if one is person else one for one in people))

    def _replace(
        self, people: tuple[PersonEntry, ...], leaving: tuple[str, ...] | None = None
    ) -> None:
        """Replace the people. `leaving`: by default those whose entry does not change."""
        if leaving is None:
            before, after = _by_key(self.document.people), _by_key(people)
            keys = {name: name_key(name) for name in self.document.leaving}
            leaving = tuple(n for n, key in keys.items() if before.get(key) is after.get(key))
        values = self.document.model_dump() | {"people": people, "leaving": leaving}
        try:
            self.document = CredentialDocument.model_validate(values)
        except ValidationError:
            raise DoorError(
                "the change would make the file invalid: too many people; remove some first"
            ) from None


def _by_key(people: tuple[PersonEntry, ...]) -> dict[str, PersonEntry]:
    return {name_key(person.name): person for person in people}


def _change(name: str, person: PersonEntry | None, changes: Mapping[str, Any]) -> PersonEntry:
    """Return a person with other attributes. Raises ConfigError, without values of credentials."""
    if person is None:
        check_name(name, "a person's name")
    values = {"name": normalize_name(name)} if person is None else person.model_dump()
    try:
        return PersonEntry.model_validate({**values, **changes})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or name}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        )
        raise ConfigError(problems) from None


def _acquire(path: Path) -> int:
    """Return a descriptor that holds the lock file. Raises DoorError if it stays locked."""
    ends_at = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return acquire_lock(path, "change of credentials", "door.state")
        except AlreadyRunningError as error:
            if time.monotonic() >= ends_at:
                raise DoorError(
                    f"{path}: another command has been changing people for {LOCK_WAIT_S:.0f} s; "
                    "wait until it has ended, then run this again"
                ) from error
        time.sleep(_POLL_S)


@contextlib.contextmanager
def edit_credentials(path: Path, key_path: Path) -> Iterator[CredentialEditor]:
    """Lock the file, edit it and write it if the block ends without an exception.

    The key file is made if there is none, after an empty file: a key without a file is damage.
    Another change that takes a moment is awaited. Raises DoorError, LockFileError.
    """
    lock = _acquire(path.with_suffix(".lock"))
    try:
        document = read_document(path, key_path)
        if not document.people:
            write_document(document, path)
        key = load_credential_key(key_path, create=not document.people)
        editor = CredentialEditor(document, key)
        yield editor
        write_document(editor.document, path)
    finally:
        os.close(lock)
