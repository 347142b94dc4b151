"""File of the lockouts: times over a restart, and content that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.access.lockout import LockoutCount
from edge.door.lockout_file import LockoutFile, build_document
from edge.system.wallclock import ClockTrust, WallClock

NOW = 2e9
VALID: dict[str, Any] = {"failures": 1, "locks": 0, "since_s": -1.0, "locked_s": -1.0}


def clock(wall: float, latest: float = 0.0) -> WallClock:
    return WallClock(ClockTrust(latest), lambda: wall, monotonic=lambda: 0.0)


@given(
    left_s=st.floats(0.0, 3600.0),
    walls=st.tuples(*[st.sampled_from([0.0, NOW, NOW + 100, NOW + 5000])] * 2),
    mono=st.tuples(*[st.floats(0.0, 1e6)] * 2),
)
def test_lockout_is_never_shorter_after_restart(
    left_s: float, walls: tuple[float, float], mono: tuple[float, float]
) -> None:
    count = LockoutCount(0, mono[0] + left_s, 1, mono[0] + left_s)
    document = build_document({"entry": count}, {}, clock(walls[0]), mono[0])
    restored = document.readers["entry"].count(document.saved_at(clock(walls[1]), mono[1]))
    both_trusted = 0.0 not in walls
    passed_s = max(0.0, walls[1] - walls[0]) if both_trusted else 0.0
    assert restored.locked_until - mono[1] == pytest.approx(left_s - passed_s, abs=0.01)


def test_lockout_clock_set_back_starts_again() -> None:
    count = LockoutCount(0, 60.0, 1, 60.0)
    document = build_document({"entry": count}, {}, clock(NOW), 0.0)
    doubtful = clock(NOW + 30, latest=NOW + 1000)
    assert document.readers["entry"].count(document.saved_at(doubtful, 5.0)).locked_until == 65.0


def test_lockout_age_beyond_limit_is_saved() -> None:
    count = LockoutCount(1, -1e300, 0, -1e300)
    saved = build_document({"entry": count}, {}, clock(NOW), 0.0).readers["entry"]
    assert saved.since_s == saved.locked_s == -1e10


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"wall": float("nan")},
        {"wall": -1e12},
        {"wall": 1e300},
        {"readers": {"entry": {**VALID, "failures": -1}}},
        {"readers": {"entry": {**VALID, "locks": 99}}},
        {"readers": {"entry": {**VALID, "locked_s": 1e9}}},
        {"readers": {"entry": {**VALID, "since_s": float("nan")}}},
        {"people": {"Ada": VALID}},
        {"more": 1},
    ],
)
def test_lockout_file_refuses_content(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "lockouts.json"
    content = {"version": 1, "wall": None, "readers": {"entry": VALID}, "people": {}}
    path.write_text(json.dumps(content))
    file = LockoutFile(path, lambda: 0.0)
    assert file.load() is not None
    path.write_text(json.dumps(content | changes))
    with pytest.raises(ValueError, match=r"lockouts\.json"):
        file.load()
    file.close()
