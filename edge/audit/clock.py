"""Trust in the wall clock across restarts, from the audit records and the clock file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge.audit.reader import read_tail
from edge.config import TerminalConfig
from edge.errors import RecordError
from edge.system.atomic_files import read_regular, write_atomic
from edge.system.strict_json import read_json
from edge.system.wallclock import LATEST, ClockTrust, WallClock

LATEST_BELIEVED = "latest_believed"  # a field of records made while the clock was in doubt
CLOCK_CONFIRMED = "clock_confirmed"  # a field: the operator's confirmation that holds, and its boot
CLOCK_TRUSTED = "clock-trusted"  # an event: an operator confirms the clock
_FILE_MAX = 4096


def trust_from_records(tail: Iterable[Mapping[str, Any]]) -> ClockTrust:
    """Return the trust that the last records give; newest record first.

    Records from before a confirmation are ignored: their clock was wrong.
    """
    latest, confirmed, boot = 0.0, 0.0, ""
    for record in tail:
        trusted = CLOCK_TRUSTED in (record.get("event"), record.get("reason"))
        wall = record.get("wall")
        latest = max(latest, _time(wall if trusted else record.get(LATEST_BELIEVED, wall)))
        if not confirmed:
            confirmed, boot = _confirmation(record.get(CLOCK_CONFIRMED))
        if trusted:
            break
    return ClockTrust(latest, confirmed, boot)


def confirmation_field(trust: ClockTrust) -> dict[str, Any]:
    """Return the field that carries a confirmation; empty without a confirmation."""
    return {CLOCK_CONFIRMED: [trust.confirmed, trust.boot]} if trust.confirmed else {}


def open_clock(config: TerminalConfig) -> WallClock:
    """Return the clock of the recogniser and its commands with the persisted trust."""
    return WallClock(load_trust(config))


def load_trust(config: TerminalConfig) -> ClockTrust:
    """Return the trust of the clock file, else that of the last records."""
    if (kept := read_trust(config.clock_path)) is not None:
        return kept
    found = ClockTrust()
    for folder in (config.decisions_path, config.door_record_path):
        with contextlib.suppress(RecordError):  # of another account, or damaged
            known = trust_from_records(read_tail(folder))
            found = max(found, known, key=lambda trust: trust.latest)
    return found


def read_trust(path: Path) -> ClockTrust | None:
    """Return a clock file's trust, None if the file is missing or damaged."""
    try:
        found = read_json(read_regular(path, _FILE_MAX))
        latest = _time(found["latest"])
        confirmed, boot = _confirmation([found["confirmed"], found["boot"]])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return ClockTrust(latest, confirmed, boot)


def write_trust(path: Path, clock: WallClock) -> None:
    """Persist the trust in the clock. Raises OSError."""
    clock.read_with_doubt()
    kept = clock.trust
    fields = {"latest": kept.latest, "confirmed": kept.confirmed, "boot": kept.boot}
    write_atomic(path, json.dumps(fields).encode())


def _time(value: Any) -> float:
    """Return Unix seconds, 0 if the value is no time."""
    is_time = isinstance(value, (int, float)) and 0 <= value <= LATEST
    return float(value) if is_time else 0.0


def _confirmation(value: Any) -> tuple[float, str]:
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], str)):
        return 0.0, ""
    return _time(value[0]), value[1][:64]
