"""Attributes of a subject, stored with the templates, and rights of a person at the door."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any, Literal, TypeVar, get_args

from edge.errors import GalleryError
from edge.names import name_key, normalize_name

_Kind = TypeVar("_Kind")
Mask = Literal["as-configured", "any"]
Challenge = Literal["as-configured", "no-challenge"]


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent of a person to be recognised, as recorded by an account."""

    given: date
    noted_by: str  # account
    words: str = ""  # such as the form and its place


@dataclass(frozen=True, slots=True)
class DistinctStatement:
    """Statement of an operator that a subject and another one are two people.

    It has a digest of both names, so that it does not keep the name of an erased person.
    """

    pair: str
    noted: date
    noted_by: str  # account
    reason: str


def pair_of(one: str, other: str) -> str:
    """Return the digest of two subjects' names, in either order."""
    names = sorted(name_key(name) for name in (one, other))
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]


# Fields of PersonRights. Options of the gallery's commands and columns of lists set the first ones.
SETTABLE_RIGHTS = ("groups", "valid_from", "valid_until", "extended")
RIGHTS = (*SETTABLE_RIGHTS, "max_uses", "mode", "anti_passback_exempt")
RightsChange = Mapping[str, object]  # new values of some of these fields


@dataclass(frozen=True, slots=True)
class PersonRights:
    """Rights of a person. The door process owns them; an export takes them along.

    Dates are days in the time zone of `door.schedule`, first and last included.
    """

    groups: tuple[str, ...] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    extended: bool = False  # the door stays open for `door.extended_pulse_s`
    max_uses: int | None = None  # entries of a visitor
    mode: str | None = None  # value of AuthMode, instead of the mode by schedule
    anti_passback_exempt: bool = False

    @property
    def is_limited(self) -> bool:
        """Return True if a face may open less than one without an entry at the door."""
        limits = self.valid_from, self.valid_until, self.max_uses, self.mode
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True)
class SubjectRecord:
    """Preferences, consent and retention of a subject."""

    mask: Mask = "as-configured"  # any: overrides `policy.mask`
    liveness: Challenge = "as-configured"  # no-challenge: is never asked to turn the head
    consent: Consent | None = None
    erase_on: date | None = None  # `edge-gallery expire` erases the person from this day on
    distinct: tuple[DistinctStatement, ...] = ()  # statements that the subject is another person
    # Rights of an export, or of a gallery of 0.2.0: `edge-gallery move-rights` moves
    # them to the door.
    unmoved_rights: PersonRights | None = None


def to_json(name: str, record: SubjectRecord) -> bytes:
    """Return name and attributes in the form that is encrypted."""
    tree = asdict(record)
    rights = tree.pop("unmoved_rights") or {}
    return json.dumps(
        {"name": normalize_name(name), **tree, **rights}, default=date.isoformat
    ).encode()


def from_json(text: bytes) -> tuple[str, SubjectRecord]:
    """Return name and attributes. Raises GalleryError for invalid content."""
    try:
        found = json.loads(text)
        name = found.pop("name")
        found.pop("pin", None)  # galleries of 0.2.0 have one; the door keeps PINs now
        unknown = set(found) - set(RIGHTS) - _FIELDS
        if unknown or not isinstance(name, str):
            raise ValueError(f"unknown fields {sorted(unknown)}")
        values = {key: _value(key, value) for key, value in found.items()}
        rights = PersonRights(**{key: values.pop(key) for key in RIGHTS if key in values})
        unmoved = None if rights == PersonRights() else rights
        return name, SubjectRecord(**values, unmoved_rights=unmoved)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise GalleryError(f"a subject's record cannot be read: {error}") from error


_FIELDS = {field.name for field in fields(SubjectRecord)} - {"unmoved_rights"}
_SWITCHES = ("extended", "anti_passback_exempt")
_DATES = ("valid_from", "valid_until", "erase_on")
_WORDS = {"mask": get_args(Mask), "liveness": get_args(Challenge)}


def _value(key: str, value: Any) -> Any:
    """Return the value of a field. Raises KeyError, TypeError, ValueError, AttributeError."""
    if key in _DATES:
        return None if value is None else date.fromisoformat(value)
    if key == "groups":
        return tuple(normalize_name(_checked(str, group)) for group in _checked(list, value))
    if key == "consent":
        return None if value is None else _consent(value)
    if key == "distinct":
        return tuple(_distinct(item) for item in _checked(list, value))
    if key == "max_uses":
        return None if value is None else _uses(value)
    if key == "mode":
        return None if value is None else _checked(str, value)
    if key in _WORDS and value not in _WORDS[key]:
        raise ValueError(f"expected {' or '.join(_WORDS[key])} for {key}, found {value!r}")
    return _checked(bool if key in _SWITCHES else str, value)


def _uses(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected a number of uses from 1, found {value!r}")
    return value


def _consent(value: Any) -> Consent:
    return Consent(
        date.fromisoformat(value["given"]),
        _checked(str, value["noted_by"]),
        _checked(str, value.get("words", "")),
    )


def _distinct(value: Any) -> DistinctStatement:
    return DistinctStatement(
        _checked(str, value["pair"]),
        date.fromisoformat(value["noted"]),
        _checked(str, value["noted_by"]),
        _checked(str, value["reason"]),
    )


def _checked(kind: type[_Kind], value: Any) -> _Kind:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value
