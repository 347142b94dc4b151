"""Values of the access rules: factors, people, times and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from edge.access.rules.codes import RuleRefusal


class Factor(str, Enum):
    """Verified credential of a person."""

    FACE = "face"
    CARD = "card"
    PIN = "pin"
    DURESS_PIN = "duress-pin"  # counts as a PIN and raises a silent alarm


class AuthMode(str, Enum):
    """Factors that a request needs, from the least to the strictest mode after the fallbacks."""

    CARD = "card"  # fallback only
    PIN = "pin"  # fallback only
    FACE = "face"
    CARD_AND_FACE = "card-and-face"
    PIN_AND_FACE = "pin-and-face"


class Direction(str, Enum):
    """Direction of a lane, seen from its zone."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class RulePerson:
    """Attributes of a person that the rules use, from the door process's own file."""

    name: str  # key of the name, see `edge.names.name_key`: other spellings are the same person
    groups: frozenset[str] = frozenset()  # keys of group names, see `edge.names.name_key`
    valid_from: date | None = None  # days in the time zone of `door.schedule`, both included
    valid_until: date | None = None
    max_uses: int | None = None  # entries of a visitor in total; None: unlimited
    mode: AuthMode | None = None  # instead of the mode by schedule
    extended: bool = False  # needs more time at the door
    anti_passback_exempt: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """Present time by both clocks."""

    at: float  # monotonic seconds
    wall: datetime  # aware
    clock_trusted: bool  # False: `wall` may be wrong


@dataclass(frozen=True, slots=True)
class DoorStatus:
    """Lock and contact of a door."""

    is_unlocked: bool
    is_open: bool  # True while the contact's level is unknown; False for a door without contact


DoorStatuses = Mapping[str, DoorStatus]  # by name of the door


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rules allow a grant. Nothing is committed before `RulesEngine.granted`."""

    lane: str
    people: tuple[RulePerson, ...]  # two for a lane that needs two people
    direction: Direction
    extended: bool
    duress: bool  # raises a silent alarm; never shown at the door
    violations: tuple[RuleRefusal, ...] = ()  # of rules that are soft


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request is not complete."""

    lane: str
    missing: frozenset[Factor]  # factors that are still possible; empty: a second person
    until: float  # monotonic seconds
    duress: bool

    @property
    def needs_second_person(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """Request of a person that waits at a lane."""

    person: RulePerson
    presented: frozenset[Factor]  # empty: the first of two people
    until: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules refuse the request."""

    lane: str
    reason: RuleRefusal
    duress: bool


RuleOutcome = Allowed | Waiting | Refused


@dataclass(frozen=True, slots=True)
class Passage:
    """Result of a report of the passage sensor."""

    person: str | None  # whose grant it was; None: no grant
    is_tailgating: bool  # entry without a grant
