"""Clock trust of commands that write dates or erase by them."""

from __future__ import annotations

import contextlib
from datetime import date, datetime

from edge.audit.clock import open_clock, write_trust
from edge.config import TerminalConfig
from edge.door.client import DoorClient
from edge.door.clock_trust import adopt_confirmation, describe_doubt
from edge.errors import GalleryError
from edge.system.wallclock import REMEDY, WallClock


def save_clock_trust(config: TerminalConfig) -> None:
    """Persist the trust in the clock, if this account may write it."""
    with contextlib.suppress(OSError):
        write_trust(config.clock_path, open_clock(config))


def trusted_day(config: TerminalConfig, consequence: str) -> date:
    """Return today in the schedule's time zone. Raises GalleryError if the clock is not trusted."""
    clock = open_clock(config)
    now, doubt = clock.read_with_doubt()
    if doubt is not None and _confirmed_at_door(clock, config):
        now, doubt = clock.read_with_doubt()
    if doubt is not None:
        raise GalleryError(f"{describe_doubt(doubt)}; {consequence}; {REMEDY}")
    return _day(config, now)


def current_day(config: TerminalConfig) -> date:
    """Return today by the clock as it is, for uses that neither erase nor refuse."""
    return _day(config, WallClock().read()[0])


def _day(config: TerminalConfig, now: float) -> date:
    return datetime.fromtimestamp(now, config.door.schedule.zone).date()


def _confirmed_at_door(clock: WallClock, config: TerminalConfig) -> bool:
    """Adopt and persist a confirmation given to the door; return True if there is one."""
    client = DoorClient(config.socket_path)
    try:
        if not adopt_confirmation(clock, client):
            return False
    finally:
        client.close()
    with contextlib.suppress(OSError):
        write_trust(config.clock_path, clock)
    return True
