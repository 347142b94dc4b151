"""When the door stands open or locked by itself: weekly windows, holidays, a time zone. Pure, the time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from edge.config.schedule import DAYS, HOLIDAY, HoursConfig, ScheduleConfig, parse_days

_UTC = ZoneInfo("UTC")


class ScheduledMode(str, Enum):
    """Door mode that the schedule demands."""

    NORMAL = "normal"
    OPEN = "open"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class ScheduleSpan:
    """From a local time to another on some days; one that ends at or before its begin ends on the next day."""

    days: frozenset[str]  # of DAYS and HOLIDAY
    begin: time
    end: time
    window: ScheduledMode


@dataclass(frozen=True, slots=True)
class Schedule:
    """On a holiday only spans that name `holiday` begin. Where two overlap the restrictive one counts."""

    spans: tuple[ScheduleSpan, ...] = ()
    holidays: frozenset[date] = frozenset()
    zone: ZoneInfo = _UTC

    def at(self, moment: datetime, *, plausible: bool) -> ScheduledMode:
        """What holds at a moment (with its zone). With a clock that cannot be right no door stands open by it."""
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        found = {span.window for span in self.spans if self._covers(span, local)}
        if ScheduledMode.LOCKED in found:
            return ScheduledMode.LOCKED
        return (
            ScheduledMode.OPEN
            if ScheduledMode.OPEN in found and plausible
            else ScheduledMode.NORMAL
        )

    @property
    def strictest(self) -> ScheduledMode:
        """What holds where `at` cannot tell: no hour may be taken for an open one, and any may be one that locks."""
        return (
            ScheduledMode.LOCKED
            if any(span.window is ScheduledMode.LOCKED for span in self.spans)
            else ScheduledMode.NORMAL
        )

    def _covers(self, span: ScheduleSpan, local: datetime) -> bool:
        """By the clock on the wall: an hour that is skipped or comes twice is what the wall shows."""
        for begins in (local.date(), local.date() - timedelta(days=1)):
            if self._kind(begins) not in span.days:
                continue
            ends = begins if span.begin < span.end else begins + timedelta(days=1)
            if datetime.combine(begins, span.begin) <= local < datetime.combine(ends, span.end):
                return True
        return False

    def _kind(self, day: date) -> str:
        return HOLIDAY if day in self.holidays else DAYS[day.weekday()]


def within(hours: Sequence[HoursConfig], config: ScheduleConfig) -> Callable[[datetime], bool]:
    """Whether a moment lies in some hours, by the holidays and the time zone of a schedule."""
    spans = tuple(
        ScheduleSpan(parse_days(span.days), span.begin, span.end, ScheduledMode.LOCKED)
        for span in hours
    )
    schedule = Schedule(spans, frozenset(config.holidays), config.zone)
    return lambda moment: schedule.at(moment, plausible=True) is ScheduledMode.LOCKED


def build_schedule(config: ScheduleConfig) -> Schedule:
    """The schedule that a config describes."""
    spans = (
        ScheduleSpan(parse_days(span.days), span.begin, span.end, ScheduledMode(span.mode))
        for span in config.spans
    )
    return Schedule(tuple(spans), frozenset(config.holidays), config.zone)
