"""Random crossings in short form; `make crossings` runs 20,000."""

from __future__ import annotations

import pytest

from tests.crossings.oracle import cross, cross_many
from tests.crossings.scene import draw_scene

_SCENES = 120


def test_crossings_no_wrong_grant() -> None:
    outcomes = list(cross_many(7, range(_SCENES)))
    assert [fault for outcome in outcomes for fault in outcome.faults] == []
    assert sum(outcome.grants for outcome in outcomes) > _SCENES / 2


@pytest.mark.parametrize(
    ("weakened", "fault"),
    [
        ({"nearest_only": False}, "granted behind"),
        ({"zone": (0.0, 0.0, 1.0, 1.0)}, "outside the zone"),
        ({"has_liveness": False}, "a photo of"),
    ],
)
def test_oracle_weakened_pipeline_is_caught(weakened: dict[str, object], fault: str) -> None:
    scenes = (draw_scene(7, number) for number in range(_SCENES))
    outcomes = (cross(scene, **weakened) for scene in scenes)  # type: ignore[arg-type]
    assert any(fault in found for outcome in outcomes for found in outcome.faults)
