"""When the door stands open or locked by itself: weekly windows, holidays, a time zone. Pure, the time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from edge.config.schedule import DAYS, HOLIDAY, Hours, parse_days
from edge.config.schedule import Schedule as ScheduleConfig
from edge.door.controller import Window

_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class Span:
    """From a local time to another on some days; one that ends at or before its begin ends on the next day."""

    days: frozenset[str]  # of DAYS and HOLIDAY
    begin: time
    end: time
    window: Window


@dataclass(frozen=True, slots=True)
class Schedule:
    """On a holiday only spans that name `holiday` begin. Where two overlap the restrictive one counts."""

    spans: tuple[Span, ...] = ()
    holidays: frozenset[date] = frozenset()
    zone: ZoneInfo = _UTC

    def at(self, moment: datetime, *, plausible: bool) -> Window:
        """What holds at a moment (with its zone). With a clock that cannot be right no door stands open by it."""
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        found = {span.window for span in self.spans if self._covers(span, local)}
        if Window.LOCKED in found:
            return Window.LOCKED
        return Window.OPEN if Window.OPEN in found and plausible else Window.NORMAL

    @property
    def strictest(self) -> Window:
        """What holds where `at` cannot tell: no hour may be taken for an open one, and any may be one that locks."""
        return (
            Window.LOCKED
            if any(span.window is Window.LOCKED for span in self.spans)
            else Window.NORMAL
        )

    def _covers(self, span: Span, local: datetime) -> bool:
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


def within(hours: Sequence[Hours], config: ScheduleConfig) -> Callable[[datetime], bool]:
    """Whether a moment lies in some hours, by the holidays and the time zone of a schedule."""
    spans = tuple(
        Span(parse_days(span.days), span.begin, span.end, Window.LOCKED) for span in hours
    )
    schedule = Schedule(spans, frozenset(config.holidays), config.zone)
    return lambda moment: schedule.at(moment, plausible=True) is Window.LOCKED


def schedule_of(config: ScheduleConfig) -> Schedule:
    """The schedule that a config describes."""
    spans = (
        Span(parse_days(span.days), span.begin, span.end, Window(span.mode))
        for span in config.spans
    )
    return Schedule(tuple(spans), frozenset(config.holidays), config.zone)
