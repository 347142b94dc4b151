"""Access rules: authentication modes, zones, lanes and rules for more than one person or door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge.config.lane import DEFAULT_DOOR, DEFAULT_LANE, Label
from edge.config.schedule import HoursConfig
from edge.config.section import Section
from edge.names import parse_group

GroupName = Annotated[str, AfterValidator(parse_group)]
ModeName = Literal["face", "card-and-face", "pin-and-face"]
FallbackName = Literal["card", "pin"]


class ModeSpanConfig(HoursConfig):
    """A time span with another authentication mode, or with fallbacks."""

    mode: ModeName | None = Field(
        None,
        title="Mode",
        description="Authentication mode in this span. Not set: `access.mode`.",
        examples=["card-and-face"],
    )
    fallback: tuple[FallbackName, ...] = Field(
        (),
        title="Fallback",
        description="Factors that are enough alone in this span. Only people without a mode of "
        "their own, or with this factor as their mode, may use them.",
        examples=["[card]"],
    )

    @model_validator(mode="after")
    def _has_effect(self) -> ModeSpanConfig:
        if self.mode is None and not self.fallback:
            raise ValueError("the span changes nothing; write `mode`, `fallback` or both")
        return self


class ZoneConfig(Section):
    """An area behind lanes, with anti-passback and an occupancy limit."""

    name: Label = Field(title="Name", description="Name of the zone.", examples=["lab"])
    anti_passback: Literal["off", "soft", "hard"] = Field(
        "off",
        title="Anti-passback",
        description="Rule for people who enter while they are inside, or leave while they are "
        "outside. soft: the grant is recorded as a violation. hard: it is refused.",
    )
    forget_after_s: float | None = Field(
        None,
        ge=60,
        le=31 * 86400,
        title="Forget after",
        description="Seconds after which the last passage of a person no longer counts for "
        "anti-passback. Does not apply while the clock is not trusted. Not set: it always counts.",
        examples=["43200"],
    )
    max_people: int | None = Field(
        None,
        ge=1,
        le=100_000,
        title="Occupancy limit",
        description="Number of people from which entry is refused. Exit is never refused. Not "
        "set: no limit.",
        examples=["12"],
    )

    @model_validator(mode="after")
    def _belongs(self) -> ZoneConfig:
        if self.forget_after_s is not None and self.anti_passback == "off":
            raise ValueError("`forget_after_s` needs `anti_passback: soft` or `hard`")
        return self


class LaneConfig(Section):
    """Way through a door in one direction, with the camera and readers on its side."""

    name: Label = Field(title="Name", description="Name of the lane.", examples=["lab-in"])
    door: Label = Field(
        DEFAULT_DOOR,
        title="Door",
        description="Door that the lane leads through: the `door.name` of its process.",
        examples=["left"],
    )
    zone: Label | None = Field(
        None,
        title="Zone",
        description="Zone that the lane leads into or out of, of `zones`. Not set: none.",
        examples=["lab"],
    )
    direction: Literal["in", "out"] = Field(
        "in", title="Direction", description="in: into the zone. out: out of the zone."
    )
    groups: tuple[GroupName, ...] = Field(
        (),
        title="Groups",
        description="Only people in at least one of these groups (edge-enroll --groups) may use "
        "the lane. Not set: all people.",
        examples=["[staff]"],
    )
    passage: Literal["contact", "sensor"] | None = Field(
        None,
        title="Passage",
        description="Input that reports a passage. contact: the door contact; an opening counts "
        "for every person with a grant. sensor: a sensor that reports each person. Not set: "
        "contact if `door.inputs.contact` is set; without it people count as passed at the grant.",
        examples=["sensor"],
    )
    two_people: bool = Field(
        False,
        title="Two people",
        description="A grant needs two people, see `access.two_people`.",
    )
    hardware_egress: bool = Field(
        False,
        title="Hardware egress",
        description="Declares that people can leave without this terminal: break-glass unit or "
        "panic bar in the supply of the lock. Required for rules that can refuse an exit.",
    )


class TwoPeopleConfig(Section):
    """Dual authorisation: two different people request a grant together."""

    groups: tuple[GroupName, ...] = Field(
        (),
        title="Groups",
        description="Each of the two people must be in one of these groups. Not set: all people.",
        examples=["[guards, staff]"],
    )
    within_s: float = Field(
        30.0,
        gt=0,
        le=300,
        title="Time limit",
        description="Seconds within which the second person must follow.",
    )


class LockoutConfig(Section):
    """Lockout after wrong cards and PINs, for each reader and each person with a card."""

    failures: int = Field(
        5,
        ge=2,
        le=100,
        title="Failures",
        description="Number of wrong cards or PINs that lock.",
    )
    window_s: float = Field(
        300.0,
        gt=0,
        le=86400,
        title="Window",
        description="Seconds in which failures of a reader count together. Those of a person count "
        "until a right PIN.",
    )
    lock_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        title="Lock time",
        description="Seconds for which cards and PINs are refused. Each further lockout doubles "
        "the time.",
    )
    lock_max_s: float = Field(
        3600.0, gt=0, le=86400, title="Maximum", description="Longest lock time in seconds."
    )


class AccessConfig(Section):
    """Access rules, decided in the door process. The defaults restrict nothing."""

    mode: ModeName = Field(
        "face",
        title="Mode",
        description="Authentication mode. card-and-face and pin-and-face: the face is compared "
        "with that of the holder of the card or PIN.",
    )
    spans: tuple[ModeSpanConfig, ...] = Field(
        (),
        title="Time spans",
        description="Spans with another `mode` or with a `fallback`, in the time zone and with "
        "the holidays of `door.schedule`. The first that covers the time applies. While the clock "
        "is not trusted the strictest mode applies and no fallback.",
        examples=[
            '[{days: [mon-fri], begin: "19:00", end: "06:00", mode: pin-and-face, '
            "fallback: [card]}]"
        ],
    )
    masked: Literal["ignore", "require-second-factor"] = Field(
        "ignore",
        title="Masked faces",
        description="require-second-factor: a masked face, or one with an uncertain mask state, "
        "needs the card or PIN of the same person.",
    )
    factor_window_s: float = Field(
        15.0,
        gt=0,
        le=120,
        title="Factor window",
        description="Seconds within which all factors of a request must be presented.",
    )
    zones: tuple[ZoneConfig, ...] = Field(
        (),
        title="Zones",
        description="Areas for anti-passback and occupancy limits.",
        examples=["[{name: lab, anti_passback: hard, forget_after_s: 43200, max_people: 12}]"],
    )
    lanes: tuple[LaneConfig, ...] = Field(
        (),
        title="Lanes",
        description="Ways through all doors of the terminal. The first one of a door is that of "
        "its camera, see `camera.lane`. Not set: one lane `main` through the door `main`, in no "
        "zone.",
        examples=[
            "[{name: lab-in, zone: lab, direction: in, groups: [staff], passage: contact}, "
            "{name: lab-out, zone: lab, direction: out, two_people: false, "
            "hardware_egress: true}]"
        ],
    )
    two_people: TwoPeopleConfig | None = Field(
        None,
        title="Two people",
        description="Rule for lanes with `two_people: true`.",
        examples=["{groups: [guards, staff], within_s: 30}"],
    )
    interlock: bool = Field(
        False,
        title="Interlock",
        description="A grant is refused while `door.inputs.mantrap` reports that the other door of "
        "a mantrap is unlocked or open. Fire and REX always unlock.",
    )
    interlock_doors: tuple[Label, ...] = Field(
        (),
        title="Interlock of doors",
        description="Doors of this terminal, by the `door` of their lanes. A grant at one of them "
        "is refused while another one is unlocked or open, or its process does not run. Fire and "
        "REX always unlock.",
        examples=["[outer, inner]"],
    )
    first_person: tuple[GroupName, ...] = Field(
        (),
        title="First person",
        description="Open hours of `door.schedule` start only when a person in one of these "
        "groups has entered through the door by a grant. Not set: they start by time.",
        examples=["[shop-staff]"],
    )
    lockout: LockoutConfig = Field(
        LockoutConfig(),
        title="Lockout",
        description="Lockout after wrong cards and PINs. Faces, REX, fire and operators are not "
        "subject to it.",
    )
    passage_grace_s: float = Field(
        2.0,
        ge=0,
        le=30,
        title="Passage grace",
        description="Seconds after locking within which a passage still belongs to its grant.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> AccessConfig:
        _check_unique("zones", (zone.name for zone in self.zones))
        _check_unique("lanes", (lane.name for lane in self.lanes))
        _check_unique("interlock_doors", self.interlock_doors)
        self._check_interlock_doors()
        for lane in self.lanes:
            self._check_lane(lane)
        for zone in self.zones:
            self._check_zone(zone)
        if self.two_people is not None and not any(lane.two_people for lane in self.lanes):
            raise ValueError("two_people: no lane uses it; write `two_people: true` in a lane")
        return self

    def _check_interlock_doors(self) -> None:
        doors = list(dict.fromkeys(lane.door for lane in self.lanes))
        for door in self.interlock_doors:
            if door not in doors:
                raise ValueError(
                    f"interlock_doors: no lane leads through the door {door}; write doors of "
                    f"`lanes`: {', '.join(doors) or 'none yet'}"
                )
        if len(self.interlock_doors) == 1:
            raise ValueError("interlock_doors: expected two doors or more, found one")

    def _check_lane(self, lane: LaneConfig) -> None:
        if lane.zone is not None and lane.zone not in {zone.name for zone in self.zones}:
            raise ValueError(f"lane {lane.name}: zone {lane.zone} is not in `zones`; add it there")
        if lane.zone is None and lane.direction == "out":
            raise ValueError(f"lane {lane.name}: `direction: out` needs a `zone`; write its name")
        if lane.two_people and self.two_people is None:
            raise ValueError(
                f"lane {lane.name}: `two_people: true` needs the section `access.two_people`"
            )
        if lane.two_people and lane.direction == "out" and not lane.hardware_egress:
            raise ValueError(f"lane {lane.name}: `two_people` {_EGRESS}")

    def _check_zone(self, zone: ZoneConfig) -> None:
        lanes = [lane for lane in self.lanes if lane.zone == zone.name]
        exits = [lane for lane in lanes if lane.direction == "out"]
        if len(exits) == len(lanes):
            raise ValueError(f"zone {zone.name}: no lane leads in; add one with `direction: in`")
        needs_exit = zone.anti_passback != "off" and zone.forget_after_s is None
        if not exits and (needs_exit or zone.max_people is not None):
            raise ValueError(
                f"zone {zone.name}: no lane leads out, so people would never count as outside; "
                "add a lane with `direction: out`"
            )
        if zone.anti_passback == "hard":
            for lane in exits:
                if not lane.hardware_egress:
                    raise ValueError(f"lane {lane.name}: `anti_passback: hard` {_EGRESS}")


_EGRESS = (
    "can refuse an exit; install a break-glass unit or panic bar, then write "
    "`hardware_egress: true` in the lane"
)


def lanes_through(rules: AccessConfig, door: str) -> tuple[LaneConfig, ...]:
    """Return the lanes of a door; without `access.lanes` the only door has one lane."""
    if not rules.lanes:
        return (LaneConfig(name=DEFAULT_LANE),)
    return tuple(lane for lane in rules.lanes if lane.door == door)


def _check_unique(key: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{key}: the name {repeated[0]} occurs twice; write another name")
