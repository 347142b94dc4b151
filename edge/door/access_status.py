"""Status of the access rules for operators."""

from __future__ import annotations

from typing import Any

from edge.access.rules.modes import scheduled_mode
from edge.door.door import Door
from edge.door.lane_requests import LaneRequests
from edge.door.reader_requests import ReaderRequests

_TEXT_MAX = 120
_ENTRIES_MAX = 32


def access_status(door: Door, access: LaneRequests, readers: ReaderRequests) -> dict[str, Any]:
    """Return mode, lanes, zones, readers, lockouts and numbers of people."""
    rules, moment = door.settings.access.rules, door.access.moment()
    mode, fallback = scheduled_mode(rules, moment)
    credentials = access.credentials
    return {
        "mode": mode.value,
        "fallback": sorted(each.value for each in fallback),
        "waiting": _waiting(door),
        "zones": {
            name: {"people": people, "max_people": limit}
            for name, (people, limit) in list(door.access.zones.items())[:_ENTRIES_MAX]
        },
        "zones_known": door.access.is_state_known,
        "panel": _panel(access, readers),
        "doors": _other_doors(door),
        "readers": {name: state[:_TEXT_MAX] for name, state in readers.states.items()},
        "lockouts": dict(list(readers.lockout.status().items())[:_ENTRIES_MAX]),
        "people": credentials.counts(),
        "people_version": credentials.version,
        "people_damage": credentials.damage[:_TEXT_MAX],
    }


def _panel(access: LaneRequests, readers: ReaderRequests) -> dict[str, Any] | None:
    """Return the state of the access control panel, None without one."""
    if (panel := access.panel) is None:
        return None
    return {
        "line": readers.panel_state[:_TEXT_MAX],
        "connected": panel.is_connected,
        "deciding": panel.is_waiting,
        "text": panel.text,
    }


def _other_doors(door: Door) -> dict[str, dict[str, bool] | None]:
    """Return lock and contact of the interlocked doors; None for one that is not known."""
    found = door.states.read()
    return {
        name: {"unlocked": found[name].is_unlocked, "open": found[name].is_open}
        if name in found
        else None
        for name in door.states.others
    }


def _waiting(door: Door) -> list[dict[str, Any]]:
    """Return the requests that wait, without names."""
    found = []
    for lane in door.settings.access.lanes[:_ENTRIES_MAX]:
        request = door.access.find_open(lane.name)
        if request is not None:
            presented = sorted(factor.value for factor in request.presented)
            left_s = round(max(0.0, request.until - door.clock()), 1)
            found.append({"lane": lane.name, "presented": presented, "left_s": left_s})
    return found
