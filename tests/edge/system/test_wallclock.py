"""Trust in the wall clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.system.timesync import is_synchronised, needs_synchronisation
from edge.system.wallclock import BUILT_AFTER, DAY_S, MAX_JUMP_S, ClockDoubt, ClockTrust, WallClock

NOW = 1.8e9


class Times:
    """Wall clock and monotonic clock, set by the test."""

    def __init__(self) -> None:
        self.wall, self.mono = NOW, 100.0

    def clock(self, trust: ClockTrust = ClockTrust(), **options: Any) -> WallClock:
        return WallClock(trust, lambda: self.wall, monotonic=lambda: self.mono, **options)

    def run(self, seconds: float) -> None:
        self.wall, self.mono = self.wall + seconds, self.mono + seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.mark.parametrize(
    ("wall", "doubt"),
    [
        (NOW, None),
        (NOW + MAX_JUMP_S - 1, None),
        (NOW + MAX_JUMP_S + 1, ClockDoubt.AHEAD),
        (NOW + 3650 * DAY_S, ClockDoubt.AHEAD),
        (NOW - 59, None),
        (NOW - 61, ClockDoubt.BEHIND),
        (BUILT_AFTER - 61, ClockDoubt.NEVER_SET),
        (float("nan"), ClockDoubt.NEVER_SET),
        (1e30, ClockDoubt.NEVER_SET),
    ],
)
def test_clock_value_gives_doubt(times: Times, wall: float, doubt: ClockDoubt | None) -> None:
    times.wall = wall
    assert times.clock(ClockTrust(NOW)).read_with_doubt()[1] is doubt


def test_clock_ahead_for_a_moment_is_forgotten(times: Times) -> None:
    clock = times.clock()
    assert clock.read()[1]
    times.wall += 3650 * DAY_S
    assert clock.read_with_doubt()[1] is ClockDoubt.AHEAD and clock.trust.latest == NOW
    times.wall = NOW + 3
    assert clock.read() == (NOW + 3, True)


def test_clock_time_in_doubt_passes(times: Times) -> None:
    """Forty days with a clock ten years ahead; then it is corrected."""
    clock = times.clock(ClockTrust(NOW))
    times.wall += 3650 * DAY_S
    for _ in range(40):
        times.run(DAY_S)
        assert not clock.read()[1]
    times.wall = NOW + 40 * DAY_S
    assert clock.read()[1]


def test_clock_confirmed_is_trusted(times: Times) -> None:
    clock = times.clock(ClockTrust(NOW))
    times.wall = NOW - 20 * DAY_S  # the latest trusted time was wrong
    assert clock.read_with_doubt()[1] is ClockDoubt.BEHIND
    assert clock.confirm() is None and clock.read()[1]
    assert clock.trust.confirmed == times.wall
    times.run(DAY_S)
    assert times.clock(clock.trust).read()[1]


def test_clock_never_set_cannot_be_confirmed(times: Times) -> None:
    times.wall = 0.0
    clock = times.clock()
    assert clock.confirm() is ClockDoubt.NEVER_SET and clock.trust.confirmed == 0


@pytest.mark.parametrize("synced", [True, False])
def test_board_without_rtc_needs_sync(times: Times, synced: bool) -> None:
    clock = times.clock(needs_sync=lambda: True, is_synced=lambda: synced)
    assert clock.read_with_doubt()[1] is (None if synced else ClockDoubt.UNSYNCHRONISED)
    assert clock.confirm() is None and clock.read()[1]


def test_rtc_is_found_by_device_tree(tmp_path: Path) -> None:
    assert not needs_synchronisation(tmp_path)  # a PC, or a container on one
    (tmp_path / "sys/firmware/devicetree/base").mkdir(parents=True)
    assert needs_synchronisation(tmp_path)
    (tmp_path / "sys/class/rtc/rtc0").mkdir(parents=True)
    assert not needs_synchronisation(tmp_path)


@pytest.mark.parametrize(("kernel", "synced"), [(True, True), (False, False), (None, True)])
def test_sync_state_comes_from_kernel(tmp_path: Path, kernel: bool | None, synced: bool) -> None:
    assert is_synchronised(tmp_path, lambda: kernel) is synced
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    assert is_synchronised(tmp_path, lambda: kernel) is (kernel or False)
    (tmp_path / "run/systemd/timesync/synchronized").touch()
    assert is_synchronised(tmp_path, lambda: kernel)
