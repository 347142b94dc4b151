"""File of people and credentials of the door process: models, reading and writing."""

from __future__ import annotations

import json
import secrets
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from edge.access.rules.values import AuthMode, RulePerson
from edge.door.credential_hashes import SALT_BYTES
from edge.errors import DoorError
from edge.frozen_model import FrozenModel, Sha256
from edge.names import NAME_MAX, is_name, name_key
from edge.parsing import parse_json
from edge.subject import PersonRights
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import read_regular, write_atomic
from edge.system.strict_json import read_json

_PEOPLE_MAX = 50_000
_GROUPS_MAX, _CARDS_MAX = 64, 16
PEOPLE_FILE_MAX = 64 << 20  # bytes
_USES_MAX = 1_000_000
_BATCH = 200  # people that are parsed at once: the interpreter lock is held meanwhile


def _checked_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("expected a name of printable characters")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX), AfterValidator(_checked_name)]


class PersonEntry(FrozenModel):
    """A person: rights, preferences and digests of credentials."""

    name: _Name
    groups: tuple[_Name, ...] = Field((), max_length=_GROUPS_MAX)
    valid_from: date | None = None  # days in the time zone of `door.schedule`, both included
    valid_until: date | None = None
    max_uses: int | None = Field(None, ge=1, le=_USES_MAX)  # entries of a visitor
    mode: AuthMode | None = None  # instead of the mode by schedule
    extended: bool = False
    anti_passback_exempt: bool = False
    cards: tuple[Sha256, ...] = Field((), max_length=_CARDS_MAX)
    pin: Sha256 | None = None
    duress_pin: Sha256 | None = None
    panel_card: str | None = Field(None, pattern=r"^[0-9a-f]{58,512}$")  # encrypted

    def __repr__(self) -> str:
        return f"PersonEntry({self.name!r})"

    __str__ = __repr__

    @property
    def pins(self) -> tuple[str, ...]:
        return tuple(pin for pin in (self.pin, self.duress_pin) if pin is not None)

    @property
    def rights(self) -> PersonRights:
        return PersonRights(
            self.groups,
            self.valid_from,
            self.valid_until,
            self.extended,
            self.max_uses,
            None if self.mode is None else self.mode.value,
            self.anti_passback_exempt,
        )

    @property
    def attributes(self) -> RulePerson:
        """Attributes that the access rules use."""
        return RulePerson(
            name_key(self.name),
            frozenset(map(name_key, self.groups)),
            self.valid_from,
            self.valid_until,
            self.max_uses,
            self.mode,
            self.extended,
            self.anti_passback_exempt,
        )

    @model_validator(mode="after")
    def _is_consistent(self) -> PersonEntry:
        if self.duress_pin is not None and self.pin is None:
            raise ValueError("a duress PIN needs a PIN; set both")
        if self.valid_from and self.valid_until and self.valid_until < self.valid_from:
            raise ValueError(
                f"the last day {self.valid_until} is before the first day {self.valid_from}"
            )
        return self


class CredentialDocument(FrozenModel):
    """Content of the file. Names, cards and PINs are unique."""

    version: Literal[1]
    salt: str = Field(pattern=rf"^[0-9a-f]{{{2 * SALT_BYTES}}}$")
    people: tuple[PersonEntry, ...] = Field((), max_length=_PEOPLE_MAX)
    leaving: tuple[_Name, ...] = Field((), max_length=_PEOPLE_MAX)  # the gallery erases them

    def __repr__(self) -> str:
        return f"CredentialDocument({len(self.people)} people)"

    __str__ = __repr__

    @model_validator(mode="after")
    def _is_unique(self) -> CredentialDocument:
        names = [name_key(person.name) for person in self.people]
        cards = [card for person in self.people for card in person.cards]
        pins = [pin for person in self.people for pin in person.pins]
        for what, found in (("name", names), ("card", cards), ("PIN", pins)):
            if len(set(found)) < len(found):
                raise ValueError(f"a {what} occurs twice")
        return self


_ENTRIES = TypeAdapter(tuple[PersonEntry, ...])


def empty_document() -> CredentialDocument:
    """Return a document without people, with a fresh salt."""
    return CredentialDocument(version=1, salt=secrets.token_hex(SALT_BYTES))


def read_document(path: Path, key_path: Path, *, is_required: bool = False) -> CredentialDocument:
    """Read the file. Raises DoorError, without content of the file.

    A missing file is empty, unless it is required or its key exists: without it the restrictions
    of people are unknown.
    """
    try:
        with acting_as_owner(path.parent):
            content = read_regular(path, PEOPLE_FILE_MAX)
    except FileNotFoundError:
        _check_absence(path, key_path, is_required=is_required)
        return empty_document()
    except OSError as error:
        raise DoorError(
            f"{path}: the credentials cannot be read: {error.strerror}; check its owner and mode"
        ) from error
    try:
        return _parse_document(content)
    except ValueError:
        pass  # its text shows values of the file
    raise DoorError(f"{path}: not a valid file of credentials; restore a backup, or remove it")


def _parse_document(content: bytes) -> CredentialDocument:
    """Return the document of a JSON text. Raises ValueError.

    The door's loop runs meanwhile: no step holds the interpreter lock for long.
    """
    value = read_json(content.decode())
    if not isinstance(value, dict) or not isinstance(people := value.get("people", []), list):
        raise ValueError("expected an object with a list of people")
    document = parse_json(CredentialDocument, json.dumps({**value, "people": []}))
    if len(people) > _PEOPLE_MAX:
        raise ValueError(f"more than {_PEOPLE_MAX} people")
    entries: list[PersonEntry] = []
    for first in range(0, len(people), _BATCH):
        batch = json.dumps(people[first : first + _BATCH])
        entries += _ENTRIES.validate_json(batch, strict=True)
    return CredentialDocument(
        version=1, salt=document.salt, people=tuple(entries), leaving=document.leaving
    )


def _check_absence(path: Path, key_path: Path, *, is_required: bool) -> None:
    """Check that a missing file was never written. Raises DoorError."""
    if key_path.exists():
        raise DoorError(
            f"{path}: no such file, but its key {key_path} exists; restore a backup, or remove the "
            "key to start without people"
        )
    if is_required:
        raise DoorError(
            f"{path}: no such file, but people were loaded before; restore a backup, or restart "
            "edge-door to start without people"
        )


def file_version(path: Path) -> str:
    """Return a text that differs after each replacement of a file; empty without a file."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns}-{found.st_ino}-{found.st_size}"


def write_document(document: CredentialDocument, path: Path) -> None:
    """Replace the file atomically; only its owner may read it. Raises DoorError.

    A document that could not be read again is refused.
    """
    content = document.model_dump_json().encode()
    if len(content) > PEOPLE_FILE_MAX:
        raise DoorError(
            f"{path}: unchanged: the people need {len(content)} bytes, more than "
            f"{PEOPLE_FILE_MAX}; remove people, or use fewer groups and cards"
        )
    try:
        with acting_as_owner(path.parent):
            write_atomic(path, content, 0o600)
    except OSError as error:
        raise DoorError(
            f"{path}: the credentials cannot be written: {error.strerror}; check the disk and the "
            "mode of the folder"
        ) from error
