"""Times of the day and the week, with the schedule of the door."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator

from edge.config.section import Section

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY = "holiday"


def parse_days(days: Sequence[str]) -> frozenset[str]:
    """Names as in DAYS, ranges such as `mon-fri`, and `holiday`; raises ValueError."""
    found: set[str] = set()
    for part in days:
        first, dash, last = part.partition("-")
        if part == HOLIDAY or part in DAYS:
            found.add(part)
        elif dash and first in DAYS and last in DAYS and DAYS.index(first) <= DAYS.index(last):
            found.update(DAYS[DAYS.index(first) : DAYS.index(last) + 1])
        else:
            raise ValueError(f"expected days such as mon, mon-fri or holiday, found {part!r}")
    return frozenset(found)


_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _on_the_clock(value: object) -> time:
    """Only text: YAML reads 17:30 without quotation marks as the number 1050, and a time zone belongs to the schedule."""
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError('expected hours and minutes in quotation marks, such as "17:30"')
    return time.fromisoformat(value)


_ClockTime = Annotated[time, BeforeValidator(_on_the_clock)]


class Hours(Section):
    """From a time of the day to another, on some days."""

    days: tuple[str, ...] = Field(min_length=1, description="such as [mon-fri], [sat], [holiday]")
    begin: _ClockTime
    end: _ClockTime = Field(description="on the next day where it is not after `begin`")

    @field_validator("days")
    @classmethod
    def _days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        parse_days(days)
        return days


class Span(Hours):
    """When the door stands open, or stays locked for everybody but operators, exit button and fire."""

    mode: Literal["open", "locked"]


class Schedule(Section):
    time_zone: str = Field("UTC", description="such as Europe/Berlin")
    holidays: tuple[date, ...] = ()
    spans: tuple[Span, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (
            ZoneInfoNotFoundError,
            ValueError,
            OSError,
        ) as error:  # OSError: `Europe` alone is a folder
            raise ValueError(
                "no such time zone on this machine; name one such as Europe/Berlin"
            ) from error
        return name
