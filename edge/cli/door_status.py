"""`edge-door status`: the state of the door in lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.codes import sentence_of
from edge.door.clock_trust import describe_doubt
from edge.door.events import DoorAlarm, LockReason
from edge.door.readers.events import ReaderState
from edge.system.text import format_count
from edge.system.wallclock import REMEDY, ClockDoubt


def status_lines(status: dict[str, Any]) -> list[str]:
    """Return the lines that `edge-door status` prints."""
    reason, relocks_in_s = status["reason"], status["relocks_in_s"]
    soon = f", locks in {relocks_in_s:.1f} s" if relocks_in_s else ""
    instance = f", instance {status['instance']}" if status["instance"] else ""
    lines = [
        f"door {status['door']} of terminal {status['terminal']}{instance}",
        f"{status['state']} ({reason}){soon}: {sentence_of(LockReason, reason)}",
    ]
    if doubt := status["clock"]["doubt"]:
        lines.append(f"  CLOCK: {describe_doubt(ClockDoubt(doubt))}; {REMEDY}")
    for name, active in status["inputs"].items():
        lines.append(f"  {name}: {'active' if active else 'inactive'}")
    for alarm in status["alarms"]:
        lines.append(f"  ALARM: {alarm}: {sentence_of(DoorAlarm, alarm)}")
    if access := status.get("access"):  # only for operators
        lines += [f"  {line}" for line in _access_lines(access)]
    if lost := status["records_lost"]:
        lines.append(f"  {lost} events not recorded since the last one that was: is the disk full?")
    if refused := status["reload_refused"]:
        lines.append(f"  configuration refused, the previous one applies: {refused}")
    return lines


def _access_lines(access: dict[str, Any]) -> Iterator[str]:
    fallback = f", or {' or '.join(access['fallback'])} alone" if access["fallback"] else ""
    yield f"mode: {access['mode']}{fallback}"
    for waiting in access["waiting"]:
        presented = " and ".join(waiting["presented"]) or "the first of two people"
        yield f"waiting at {waiting['lane']}: {presented}, {waiting['left_s']:.0f} s left"
    for name, zone in access["zones"].items():
        limit = f" of {zone['max_people']}" if zone["max_people"] is not None else ""
        yield f"zone {name}: {zone['people']}{limit} inside"
    if not access["zones_known"]:
        yield (
            "ZONES: it is not known who is inside; count, then run: "
            "edge-door reset-anti-passback --all"
        )
    if panel := access["panel"]:
        yield _panel_line(panel)
    for name, other in access["doors"].items():
        yield f"door {name}: {_describe_door(other)}"
    for name, state in access["readers"].items():
        yield f"reader {name}: {state}"
    for key, left_s in access["lockouts"].items():
        yield f"LOCKED OUT: {key}, {left_s:.0f} s left; end it with edge-door reset-lockout"
    if access["people_damage"]:
        yield f"PEOPLE: all people are refused: {access['people_damage']}"
    people = access["people"]
    if people["people"]:
        cards = format_count(people["cards"], "card")
        number = format_count(people["people"], "person", "people")
        yield f"{number} with {cards} and {format_count(people['pins'], 'PIN')}"


def _panel_line(panel: dict[str, Any]) -> str:
    state = panel["line"]
    if state == ReaderState.READY:
        state = "connected" if panel["connected"] else "NOT CONNECTED: people are refused"
    deciding = ", decides about a card" if panel["deciding"] else ""
    text = f", shows {panel['text']!r}" if panel["text"] else ""
    return f"panel: {state}{deciding}{text}"


def _describe_door(state: dict[str, bool] | None) -> str:
    """Return lock and contact of another door of the interlock."""
    if state is None:
        return "state not known, counts as open; is its process running?"
    return f"{'unlocked' if state['unlocked'] else 'locked'}{', open' if state['open'] else ''}"
