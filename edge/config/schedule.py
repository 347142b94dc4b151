"""Times of the day and the week, with the schedule of the door."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator

from edge.config.section import Section
from edge.parsing import parse_day

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
    """Accept hours and minutes only: the time zone belongs to the schedule."""
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError(f'expected hours and minutes such as "17:30", found {value!r}')
    return time.fromisoformat(value)


_ClockTime = Annotated[time, BeforeValidator(_on_the_clock)]
Day = Annotated[date, BeforeValidator(parse_day)]


class HoursConfig(Section):
    """From a time of the day to another, on some days."""

    days: tuple[str, ...] = Field(min_length=1, description="such as [mon-fri], [sat], [holiday]")
    begin: _ClockTime
    end: _ClockTime = Field(description="on the next day where it is not after `begin`")

    @field_validator("days")
    @classmethod
    def _days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        parse_days(days)
        return days


class ScheduleSpanConfig(HoursConfig):
    """When the door stands open, or stays locked for everybody but operators, exit button and fire."""

    mode: Literal["open", "locked"]


class ScheduleConfig(Section):
    time_zone: str | None = Field(
        None, description="such as Europe/Berlin; default: the time zone of this machine"
    )
    holidays: tuple[Day, ...] = Field((), description="days such as 2031-12-25")
    spans: tuple[ScheduleSpanConfig, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _exists(cls, name: str | None) -> str | None:
        try:
            ZoneInfo("UTC" if name is None else name)
        except (
            ZoneInfoNotFoundError,
            ValueError,
            OSError,
        ) as error:  # OSError: `Europe` alone is a folder
            raise ValueError(
                "no such time zone on this machine; name one such as Europe/Berlin"
            ) from error
        return name

    @property
    def zone(self) -> ZoneInfo:
        """Time zone in which days begin and end."""
        return machine_zone() if self.time_zone is None else ZoneInfo(self.time_zone)


_LOCALTIME = "/etc/localtime"


def machine_zone() -> ZoneInfo:
    """Return this machine's time zone by TZ or /etc/localtime; UTC if neither names one."""
    name = os.environ.get("TZ", "").removeprefix(":") or _LOCALTIME
    try:
        if not name.startswith("/"):
            return ZoneInfo(name)
        path = Path(name).resolve()
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(path).rpartition("zoneinfo/")[2])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
