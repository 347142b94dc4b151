"""Door schedule: weekly spans, holidays and a time zone. Pure: the time is an argument."""

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
    """Span of local time on some days. If it ends at or before its begin, it ends the next day."""

    days: frozenset[str]  # of DAYS and HOLIDAY
    begin: time
    end: time
    mode: ScheduledMode


@dataclass(frozen=True, slots=True)
class Schedule:
    """Spans and holidays of a door.

    On a holiday only spans that name `holiday` begin. If two overlap, the restrictive one counts.
    """

    spans: tuple[ScheduleSpan, ...] = ()
    holidays: frozenset[date] = frozenset()
    zone: ZoneInfo = _UTC

    def mode_at(self, moment: datetime, *, clock_trusted: bool) -> ScheduledMode:
        """Return the mode at an aware moment; never OPEN if the clock is not trusted."""
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        found = {span.mode for span in self.spans if self._covers(span, local)}
        if ScheduledMode.LOCKED in found:
            return ScheduledMode.LOCKED
        is_open = ScheduledMode.OPEN in found and clock_trusted
        return ScheduledMode.OPEN if is_open else ScheduledMode.NORMAL

    @property
    def strictest(self) -> ScheduledMode:
        """Mode if the time is unknown: LOCKED if any span locks, never OPEN."""
        locks = any(span.mode is ScheduledMode.LOCKED for span in self.spans)
        return ScheduledMode.LOCKED if locks else ScheduledMode.NORMAL

    def _covers(self, span: ScheduleSpan, local: datetime) -> bool:
        """Compare local times; a skipped or repeated hour counts as the clock shows it."""
        for begins in (local.date(), local.date() - timedelta(days=1)):
            if self._kind(begins) not in span.days:
                continue
            ends = begins if span.begin < span.end else begins + timedelta(days=1)
            if datetime.combine(begins, span.begin) <= local < datetime.combine(ends, span.end):
                return True
        return False

    def _kind(self, day: date) -> str:
        return HOLIDAY if day in self.holidays else DAYS[day.weekday()]


def build_hours_check(
    hours: Sequence[HoursConfig], config: ScheduleConfig
) -> Callable[[datetime], bool]:
    """Return a check of a moment against hours, with holidays and time zone of a schedule."""
    spans = tuple(
        ScheduleSpan(parse_days(span.days), span.begin, span.end, ScheduledMode.LOCKED)
        for span in hours
    )
    schedule = Schedule(spans, frozenset(config.holidays), config.zone)
    return lambda moment: schedule.mode_at(moment, clock_trusted=True) is ScheduledMode.LOCKED


def build_schedule(config: ScheduleConfig) -> Schedule:
    """Build the schedule of a config."""
    spans = (
        ScheduleSpan(parse_days(span.days), span.begin, span.end, ScheduledMode(span.mode))
        for span in config.spans
    )
    return Schedule(tuple(spans), frozenset(config.holidays), config.zone)
