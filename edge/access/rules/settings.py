"""Settings of the access rules, built from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from edge.access.rules.values import AuthMode, Direction
from edge.access.schedule import Schedule, ScheduledMode, ScheduleSpan
from edge.config.access import (
    AccessConfig,
    LaneConfig,
    ModeSpanConfig,
    ZoneConfig,
    lanes_through,
)
from edge.config.door import DoorConfig
from edge.config.schedule import ScheduleConfig, parse_days
from edge.names import name_key

PassageInput = Literal["contact", "sensor"]
OTHER_DOOR = "mantrap input"  # other door of a mantrap; no name of a door has a space


@dataclass(frozen=True, slots=True)
class ModeSpan:
    """Span with an authentication mode and fallbacks."""

    hours: Schedule  # LOCKED within the span
    mode: AuthMode
    fallback: frozenset[AuthMode]

    def covers(self, wall: datetime) -> bool:
        return self.hours.mode_at(wall, clock_trusted=True) is ScheduledMode.LOCKED


@dataclass(frozen=True, slots=True)
class AccessZone:
    """Area with anti-passback and an occupancy limit."""

    name: str
    anti_passback: Literal["off", "soft", "hard"]
    forget_after_s: float | None
    max_people: int | None


@dataclass(frozen=True, slots=True)
class Lane:
    """Way through a door in one direction."""

    name: str
    door: str
    zone: AccessZone | None
    direction: Direction
    groups: frozenset[str]  # keys of groups; empty: all people
    passage: PassageInput | None  # None: people count as passed at the grant, or another door
    two_people: bool


@dataclass(frozen=True, slots=True)
class TwoPeople:
    """Rule of dual authorisation."""

    groups: frozenset[str]  # keys of groups; empty: all people
    within_s: float


@dataclass(frozen=True, slots=True)
class AccessRules:
    """All rules of one terminal, with the lanes of all its doors."""

    doors: frozenset[str]  # doors for whose lanes this process decides
    mode: AuthMode
    spans: tuple[ModeSpan, ...]
    mask_needs_factor: bool
    factor_window_s: float
    lanes: Mapping[str, Lane]
    two_people: TwoPeople | None
    interlock: frozenset[str]  # doors of which only one may be unlocked or open
    first_person: frozenset[str]  # keys of groups; empty: open hours start by time
    passage_grace_s: float
    zone: ZoneInfo  # of days and spans

    def day(self, wall: datetime) -> date:
        """Return the local day of a moment."""
        return wall.astimezone(self.zone).date()

    def lanes_of(self, door: str) -> tuple[Lane, ...]:
        """Return the lanes that lead through a door."""
        return tuple(lane for lane in self.lanes.values() if lane.door == door)


def build_access_rules(access: AccessConfig, door: DoorConfig) -> AccessRules:
    """Return the rules of a configuration for the process of one door."""
    zones = {zone.name: _build_zone(zone) for zone in access.zones}
    lanes = [
        _build_lane(lane, zones, door) for lane in access.lanes or lanes_through(access, door.name)
    ]
    two = access.two_people
    base = AuthMode(access.mode)
    return AccessRules(
        doors=frozenset({door.name}),
        mode=base,
        spans=tuple(_build_span(span, base, door.schedule) for span in access.spans),
        mask_needs_factor=access.masked == "require-second-factor",
        factor_window_s=access.factor_window_s,
        lanes={lane.name: lane for lane in lanes},
        two_people=None if two is None else TwoPeople(_keys(two.groups), two.within_s),
        interlock=frozenset(
            {door.name, OTHER_DOOR} if access.interlock else access.interlock_doors
        ),
        first_person=_keys(access.first_person),
        passage_grace_s=access.passage_grace_s,
        zone=door.schedule.zone,
    )


def _build_span(span: ModeSpanConfig, base: AuthMode, config: ScheduleConfig) -> ModeSpan:
    days = parse_days(span.days)
    hours = ScheduleSpan(days, span.begin, span.end, ScheduledMode.LOCKED)
    return ModeSpan(
        Schedule((hours,), frozenset(config.holidays), config.zone),
        base if span.mode is None else AuthMode(span.mode),
        frozenset(map(AuthMode, span.fallback)),
    )


def _build_zone(zone: ZoneConfig) -> AccessZone:
    return AccessZone(zone.name, zone.anti_passback, zone.forget_after_s, zone.max_people)


def _build_lane(lane: LaneConfig, zones: Mapping[str, AccessZone], door: DoorConfig) -> Lane:
    has_contact = lane.door == door.name and door.inputs.contact is not None
    passage: PassageInput | None = "contact" if has_contact else None
    return Lane(
        lane.name,
        lane.door,
        None if lane.zone is None else zones[lane.zone],
        Direction(lane.direction),
        _keys(lane.groups),
        lane.passage or passage,
        lane.two_people,
    )


def _keys(groups: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(name_key, groups))
