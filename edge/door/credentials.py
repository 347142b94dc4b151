"""People and credentials in memory: a snapshot of the file, for look-ups only."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from edge.door.credential_hashes import KEY_BYTES, CredentialHasher, load_credential_key
from edge.door.credentials_file import (
    CredentialDocument,
    PersonEntry,
    empty_document,
    file_version,
    read_document,
)
from edge.door.readers.events import CardRead
from edge.errors import DoorError
from edge.names import name_key


@dataclass(frozen=True, slots=True)
class PinMatch:
    """Person whose PIN was entered; `duress`: it was the duress PIN."""

    person: PersonEntry
    duress: bool


class Credentials:
    """Look-ups by name, card and PIN digest. `damage` says why no credential is accepted.

    `version`: of the file that was read, see `file_version`.
    """

    def __init__(self, document: CredentialDocument, key: bytes, damage: str, version: str) -> None:
        self.damage, self.version = damage, version
        self._key = key
        self.hasher = CredentialHasher(key, bytes.fromhex(document.salt))
        self._names: dict[str, str] | None = None  # by digest
        self._people = {name_key(person.name): person for person in document.people}
        # A keyed digest cannot be chosen by an attacker: the time of a look-up reveals nothing.
        self._cards = {card: person for person in document.people for card in person.cards}

    def __repr__(self) -> str:
        return f"Credentials({len(self)} people)"

    def __len__(self) -> int:
        return len(self._people)

    def counts(self) -> dict[str, int]:
        """Return the numbers of people, cards and PINs."""
        pins = sum(person.pin is not None for person in self._people.values())
        return {"people": len(self), "cards": len(self._cards), "pins": pins}

    def names_by_digest(self) -> dict[str, str]:
        """Return the names of all people by `hash_name`; only the first call takes long."""
        if self._names is None:
            names = [person.name for person in self._people.values()]
            self._names = {self.hasher.hash_name(name): name for name in names}
        return self._names

    def find_person(self, name: str) -> PersonEntry | None:
        return self._people.get(name_key(name))

    def find_card(self, card: CardRead) -> PersonEntry | None:
        """Return the holder of a card."""
        return self._cards.get(self.hasher.hash_card(card))

    def find_panel_card(self, name: str) -> str | None:
        """Return the card of a person at an access control panel, None if there is none.

        Raises DoorError if it cannot be decrypted.
        """
        person = self.find_person(name)
        if person is None or person.panel_card is None:
            return None
        from edge.door.sealed_cards import PanelCardBox

        return PanelCardBox(self._key).decrypt(person.name, person.panel_card)

    def find_pin(self, digest: str) -> PinMatch | None:
        """Return the person with the PIN of this digest, see `CredentialHasher.hash_pin`."""
        found = None
        for person in self._people.values():  # all of them, in constant time each
            found = _match(person, digest) or found
        return found

    def verify_pin(self, name: str, digest: str) -> PinMatch | None:
        """Return a match if the PIN of this digest is one of the person's.

        The hash takes the time, and is computed before: an unknown person takes as long.
        """
        person = self.find_person(name)
        return None if person is None else _match(person, digest)


def load_credentials(path: Path, key_path: Path, *, is_required: bool = False) -> Credentials:
    """Read the credentials. Never raises: if they cannot be used, none is accepted."""
    version = file_version(path)  # before the read: a later change is another version
    try:
        document = read_document(path, key_path, is_required=is_required)
        key = load_credential_key(key_path, create=False) if document.people else _random_key()
        return Credentials(document, key, "", version)
    except DoorError as error:
        return Credentials(empty_document(), _random_key(), str(error), version)


def _random_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def _match(person: PersonEntry, digest: str) -> PinMatch | None:
    is_pin = hmac.compare_digest(person.pin or "", digest)
    is_duress = hmac.compare_digest(person.duress_pin or "", digest)
    return PinMatch(person, is_duress) if is_pin or is_duress else None
