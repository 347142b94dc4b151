from __future__ import annotations

import numpy as np
import pytest

from calibration import occluders

# Covered share and mean level of the drawn chip; if these fail the exam has changed: add
# occluders-v2 instead.
FROZEN = {
    "sunglasses": (0.129, 119.6),
    "cap": (0.262, 125.0),
    "hand": (0.18, 132.4),
    "object": (0.105, 127.5),
    "side-light": (0.0, 101.1),
}
GREY = np.full((112, 112, 3), 128, np.uint8)


@pytest.mark.parametrize("kind", occluders.KINDS)
def test_occluder_changes_covered_pixels_only(kind: str) -> None:
    for seed in range(10):
        drawn, truth = occluders.draw(GREY, kind, np.random.default_rng(seed))
        again, _ = occluders.draw(GREY, kind, np.random.default_rng(seed))
        assert np.array_equal(drawn, again) and not np.array_equal(drawn, GREY)
        assert (truth.max() > 0.9) == occluders.covers_skin(kind)
        if occluders.covers_skin(kind):
            assert np.array_equal(drawn[truth == 0], GREY[truth == 0]) and 0.01 < truth.mean() < 0.7


def test_sunglasses_hide_the_eyes() -> None:
    _, truth = occluders.draw(GREY, "sunglasses", np.random.default_rng(0))
    assert truth[50:54, 36:41].min() > 0.9 and truth[70:, :].max() == 0


def test_the_exam_in_places_varies_and_is_frozen() -> None:
    drawn = [occluders.draw_in_place(GREY, f"a/{i}.jpg") for i in range(60)]
    assert {kind for _, _, kind in drawn} == set(occluders.PLACES_KINDS)
    assert (
        np.mean([truth for _, truth, _ in drawn], axis=0).max() < 0.7
    )  # no place is covered on most chips
    # Golden figures: if this fails the exam has changed; add places-v2 instead.
    chip, truth, kind = occluders.draw_in_place(GREY, "Ada/Ada_0001.jpg")
    assert (kind, round(float(truth.mean()), 3), round(float(chip.mean()), 1)) == (
        "half-mask",
        0.223,
        133.9,
    )


def test_the_exam_of_one_kind_is_frozen() -> None:
    found = {}
    for kind in occluders.KINDS:
        chip, truth = occluders.draw_protocol(GREY, kind, "Ada/Ada_0001.jpg")
        found[kind] = (round(float(truth.mean()), 3), round(float(chip.mean()), 1))
    assert found == FROZEN


def test_unknown_kinds_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="found 'umbrella'"):
        occluders.draw(GREY, "umbrella", np.random.default_rng(0))
