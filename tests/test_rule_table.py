"""Table of rules in docs/door.md: its keys, status lines, codes and tests exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.cli.door_status import status_lines
from edge.door.events import DoorAlarm, LockReason
from edge.system.wallclock import ClockDoubt
from tests.codes import ENUMS
from tests.reference import contracts

ROOT = Path(__file__).resolve().parents[1]
HEAD = "| rule | keys | `edge-door status` | codes | shown by |"
COLUMNS = ("rule", "keys", "status", "codes", "tests")
_LOCKED = {LockReason.LOCKDOWN, LockReason.SCHEDULE_LOCKED, LockReason.NORMAL}
_TIMED = {LockReason.OPERATOR, LockReason.PULSE}
# Status of a door with all rules in use; a new part of the status is added here.
ACCESS: dict[str, Any] = {
    "mode": "card-and-face",
    "fallback": [],
    "waiting": [
        {"lane": "main", "presented": ["face"], "left_s": 12.0},
        {"lane": "main", "presented": [], "left_s": 12.0},
    ],
    "zones": {"lab": {"people": 2, "max_people": 12}},
    "zones_known": False,
    "panel": {"line": "ready", "connected": True, "deciding": True, "text": ""},
    "doors": {"right": {"unlocked": True, "open": False}, "outer": None},
    "readers": {"entry": "disconnected: the device is gone"},
    "lockouts": {"reader entry": 42.0},
    "people": {"people": 3, "cards": 2, "pins": 1},
    "people_damage": "people.json: not a valid file of credentials",
}
STATUS: dict[str, Any] = {
    "terminal": "terminal",
    "door": "main",
    "instance": None,
    "state": "locked",
    "reason": "normal",
    "relocks_in_s": 0.0,
    "alarms": [alarm.value for alarm in DoorAlarm],
    "records_lost": 3,
    "reload_refused": "door.pulse_s: too long",
    "inputs": {"contact": False, "mantrap": True, "passage": False},
    "clock": {"doubt": "", "confirmed": 0.0},
    "access": ACCESS,
}


def rows() -> list[dict[str, str]]:
    """Return the rows of the table; the keys are the columns."""
    text = (ROOT / "docs" / "door.md").read_text(encoding="utf-8")
    table = text.partition(HEAD)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [dict(zip(COLUMNS, each, strict=True)) for each in cells]


ROWS = rows()


def quoted(cell: str) -> list[str]:
    """Return the code spans of a cell, empty for `none`."""
    spans = re.findall(r"`` (.+?) ``|`([^`]+)`", cell)
    assert spans or cell == "none", f"expected code or none, found {cell!r}"
    return [long or short for long, short in spans]


def every_status() -> Iterator[dict[str, Any]]:
    """Yield statuses with each reason, doubt and mode."""
    yield STATUS
    yield {**STATUS, "access": {**ACCESS, "mode": "face", "fallback": ["card"]}}
    for reason in LockReason:
        state = "locked" if reason in _LOCKED else "unlocked"
        left_s = 2.4 if reason in _TIMED else 0.0
        yield {**STATUS, "state": state, "reason": reason.value, "relocks_in_s": left_s}
    for doubt in ClockDoubt:
        yield {**STATUS, "clock": {"doubt": doubt.value, "confirmed": 0.0}}


def test_rule_table_has_all_rules() -> None:
    assert len(ROWS) >= 40 and len({row["rule"] for row in ROWS}) == len(ROWS)
    used = {code for row in ROWS for code in quoted(row["codes"])}
    refusals = {code.value for code in ENUMS["refusal of an access rule"]} - {"unknown-lane"}
    alarms = {code.value for code in ENUMS["alarm of the door"]}
    reasons = {code.value for code in ENUMS["state of the door"]} - {"normal"}
    assert not (refusals | alarms | reasons) - used


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["rule"][:30])
def test_rule_table_row_exists(row: dict[str, str]) -> None:
    keys = {key for key, _, _ in contracts.config_keys()}
    keys |= {key[:end] for key in keys for end in range(len(key)) if key[end] == "."}
    codes = {code.value for members in ENUMS.values() for code in members}
    lines = {line.strip() for status in every_status() for line in status_lines(status)}
    assert not set(quoted(row["keys"])) - keys
    assert not set(quoted(row["codes"])) - codes
    assert not set(quoted(row["status"])) - lines
    assert not [name for name in quoted(row["tests"]) if not has_test(name)]


def has_test(name: str) -> bool:
    """Return True if a test of `FILE::FUNCTION` exists, below tests/edge or tests."""
    file, _, function = name.partition("::")
    for folder in (ROOT / "tests" / "edge", ROOT / "tests"):
        if (folder / file).is_file():
            source = (folder / file).read_text(encoding="utf-8")
            return (
                re.search(rf"^(def {function}\(|{function} = )", source, re.MULTILINE) is not None
            )
    return False
