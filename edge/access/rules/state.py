"""State of the zones as a JSON value: people inside, used visits, pending passages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from edge.frozen_model import FrozenModel
from edge.names import NAME_MAX

Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]
Count = Annotated[int, Field(ge=0)]
UnixSeconds = Annotated[float, Field(allow_inf_nan=False)]


class StrictModel(FrozenModel):
    """Accepts no value of another type, such as text for a number."""

    model_config = ConfigDict(strict=True)


class Presence(StrictModel):
    """Side of a person after the last passage."""

    is_inside: bool | None  # None: forgotten by a reset
    wall_s: UnixSeconds | None  # time of the passage; None: the clock was not trusted
    is_counted: bool = True  # the number of people has those inside, and lacks all others


class PendingPassage(StrictModel):
    """Grant whose passage has not been reported."""

    person: Name
    lane: Name
    zone: Name | None
    is_entry: bool
    is_counted: bool  # uses up a visit
    wall_s: UnixSeconds | None  # time of the grant; None: the clock was not trusted


class ZoneState(StrictModel):
    """Everything that survives a restart, as a JSON value."""

    version: Literal[1] = 1
    is_known: bool = True  # False: an earlier state could not be read
    people: dict[Name, dict[Name, Presence]] = Field(default_factory=dict)  # by zone and person
    counts: dict[Name, Count] = Field(default_factory=dict)  # people inside, by zone
    used: dict[Name, Count] = Field(default_factory=dict)  # visits, by person with a limit
    pending: list[PendingPassage] = Field(default_factory=list)
    settled: list[PendingPassage] = Field(default_factory=list)  # until their door has read it


def parse_state(value: object) -> ZoneState:
    """Return the state of a JSON value. Raises ValueError for invalid content."""
    try:
        return ZoneState.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "state"
        raise ValueError(f"zone state: {place}: {first['msg']}") from error
