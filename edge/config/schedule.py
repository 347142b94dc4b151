"""Weekly time spans and the schedule of the door."""

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
    """Return the days of names, ranges such as `mon-fri` and `holiday`; raises ValueError."""
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
    """A time span on some days of the week."""

    days: tuple[str, ...] = Field(
        min_length=1,
        title="Days",
        description="Days and ranges: mon to sun, mon-fri, holiday.",
        examples=["[mon-fri]"],
    )
    begin: _ClockTime = Field(title="Begin", description="Local time.", examples=['"08:00"'])
    end: _ClockTime = Field(
        title="End",
        description="Local time; on the next day if it is not after `begin`.",
        examples=['"17:30"'],
    )

    @field_validator("days")
    @classmethod
    def _days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        parse_days(days)
        return days


class ScheduleSpanConfig(HoursConfig):
    """A time span with the door unlocked, or locked for all but operators, REX and fire."""

    mode: Literal["open", "locked"] = Field(
        title="Mode",
        description="open: unlocked. locked: grants are refused. locked has priority.",
        examples=["open"],
    )


class ScheduleConfig(Section):
    """Time zone, holidays and time spans."""

    time_zone: str | None = Field(
        None,
        title="Time zone",
        description="Time zone of the schedule and of the validity dates of people. Not set: the "
        "time zone of this machine.",
        examples=["Europe/Berlin"],
    )
    holidays: tuple[Day, ...] = Field(
        (),
        title="Holidays",
        description="Dates that count as the day `holiday` of a span, not as a weekday.",
        examples=["[2031-12-25, 2031-12-26]"],
    )
    spans: tuple[ScheduleSpanConfig, ...] = Field(
        (),
        title="Time spans",
        description="Spans with `days`, `begin`, `end` and `mode`. open: the door is unlocked. "
        "locked: grants are refused. locked has priority.",
        examples=['[{days: [mon-fri], begin: "08:00", end: "17:30", mode: open}]'],
    )

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
