"""Random crossings of two lanes in short form; `make crossings` runs 1,000."""

from __future__ import annotations

from pathlib import Path

from tests.crossings.lanes import cross_lanes, draw_lane_scene

_SCENES = 40


def test_lanes_no_grant_at_the_wrong_lane(tmp_path: Path) -> None:
    outcomes = [cross_lanes(draw_lane_scene(7, n), tmp_path / "lanes") for n in range(_SCENES)]
    assert [fault for outcome in outcomes for fault in outcome.faults] == []
    deserved = sum(outcome.deserved for outcome in outcomes)
    assert sum(outcome.grants for outcome in outcomes) > 0.8 * deserved


def test_lanes_without_guard_is_caught(tmp_path: Path) -> None:
    outcomes = (
        cross_lanes(draw_lane_scene(7, n), tmp_path / "lanes", is_guarded=False)
        for n in range(_SCENES)
    )
    assert any(outcome.faults for outcome in outcomes)
