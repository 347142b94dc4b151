"""Layers `motion` and `screen` on drawn frames of two portraits; no detection rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import cv2
import numpy as np
import pytest

from edge.face.liveness import LivenessFrame, LivenessLayer, LivenessResult, LivenessState
from edge.face.liveness.motion import MotionLiveness
from edge.face.liveness.rectangle import find_rectangle
from edge.face.liveness.screen import ScreenLiveness, measure_peak
from edge.portraits import COLLINS, HOPPER, Portrait
from tests.edge.face.presentations import Picture, look_at, moved, noisy, show

HELD, BY_HAND = 0.05, 1.0


def answers(layer: LivenessLayer, looks: Iterable[LivenessFrame]) -> list[LivenessResult]:
    results = []
    for look in looks:
        layer.observe(look)
        results.append(layer.result(look.at, near_threshold=False))
    return results


def states(results: Iterable[LivenessResult]) -> set[LivenessState]:
    return {answer.state for answer in results}


@pytest.mark.parametrize("portrait", [COLLINS, HOPPER], ids=["collins", "hopper"])
@pytest.mark.parametrize("reach", [HELD, BY_HAND])
@pytest.mark.parametrize("face_px", [60.0, 95.0])
def test_a_photo_never_passes_held_or_moved(
    portrait: Portrait, reach: float, face_px: float
) -> None:
    picture = Picture(portrait, face_px)
    results = answers(MotionLiveness(), show(picture, moved(picture, reach), 4.0))
    assert LivenessState.PASSED not in states(results)
    assert (results[-1].state, results[-1].reason) == (LivenessState.FAILED, "no-motion")


def test_a_near_print_with_grain_never_passes() -> None:
    picture = Picture(COLLINS, 300)
    grain = np.random.default_rng(0).normal(0, 60, picture.image.shape[:2])[..., None]
    picture.image = np.clip(picture.image + grain, 0, 255).astype(np.uint8)
    looks = show(picture, moved(picture, 0.2, (350, 310)), 2.0, fps=8, size=(700, 620))
    results = answers(MotionLiveness(seconds=1.5, rigid=0.99), looks)
    assert LivenessState.PASSED not in states(results) and results[-1] == LivenessResult(
        LivenessState.FAILED, "no-motion", 0.0
    )


@pytest.mark.parametrize("fps", [10.0, 15.0, 30.0])
def test_motion_passes_blinks_refuses_photos(fps: float) -> None:
    picture = Picture(COLLINS)
    living = answers(
        MotionLiveness(), show(picture, moved(picture, HELD), 3.0, fps=fps, living=True)
    )
    assert (
        LivenessState.FAILED not in states(living)
        and living[round(2.0 * fps)].state is LivenessState.PASSED
    )
    photo = answers(MotionLiveness(), show(picture, moved(picture, HELD), 3.5, fps=fps))
    first = next(i for i, answer in enumerate(photo) if answer.state is LivenessState.FAILED)
    assert first / fps == pytest.approx(3.0, abs=0.15)


def test_motion_refuses_a_face_while_still() -> None:
    picture, layer = Picture(COLLINS), MotionLiveness(seconds=2.0)
    for begin, living, last in (
        (0.0, True, LivenessState.PASSED),
        (2.5, False, LivenessState.FAILED),
        (6.5, True, LivenessState.PASSED),
    ):
        results = answers(
            layer,
            show(
                picture,
                moved(picture, HELD),
                3.5 if not living else 2.5,
                begin=begin,
                living=living,
            ),
        )
        assert results[-1].state is last


def test_motion_refuses_a_frozen_stream() -> None:
    picture, layer = Picture(COLLINS), MotionLiveness()
    *before, last = show(picture, moved(picture, HELD), 2.0, living=True)
    assert answers(layer, [*before, last])[-1].state is LivenessState.PASSED
    frozen = answers(layer, [replace(last, at=2.0 + i / 15) for i in range(15)])
    assert (frozen[-1].state, frozen[-1].reason) == (LivenessState.FAILED, "frozen")
    assert (
        next(i for i, answer in enumerate(frozen) if answer.state is LivenessState.FAILED) / 15
        <= 0.6
    )
    thawed = answers(layer, show(picture, moved(picture, HELD), 2.0, begin=3.0, living=True))
    assert thawed[0].state is LivenessState.WAITING
    assert thawed[-1].state is LivenessState.PASSED and thawed[-1].since >= 2.9


def test_motion_refuses_a_looped_stream() -> None:
    picture = Picture(COLLINS)
    once = list(show(picture, moved(picture, HELD), 2.0, living=True))
    results = answers(
        MotionLiveness(), [replace(once[i % len(once)], at=i / 15) for i in range(2 * len(once))]
    )
    assert "frozen" not in {answer.reason for answer in results[: len(once)]}
    assert results[len(once) + 1].reason == "frozen" and results[-1].reason == "frozen"


def test_motion_accepts_frames_delivered_twice() -> None:
    picture = Picture(COLLINS)
    looks = show(picture, moved(picture, HELD), 2.5, fps=10, living=True)
    results = answers(
        MotionLiveness(),
        [replace(look, at=look.at + late) for look in looks for late in (0.0, 0.06)],
    )
    assert LivenessState.FAILED not in states(results) and results[-1].state is LivenessState.PASSED


def test_motion_another_face_voids_earlier_votes() -> None:
    collins, hopper, layer = Picture(COLLINS), Picture(HOPPER), MotionLiveness()
    assert (
        answers(layer, show(collins, moved(collins, HELD), 2.0, living=True))[-1].state
        is LivenessState.PASSED
    )
    results = answers(layer, show(hopper, moved(hopper, HELD), 2.0, begin=2.0, living=True))
    assert all(answer.since >= 2.0 for answer in results[1:])


def test_motion_ignores_cut_and_fast_faces() -> None:
    picture = Picture(COLLINS)
    cut = answers(
        MotionLiveness(), show(picture, moved(picture, HELD, (160, 25)), 4.0, living=True)
    )

    def flying(t: float) -> np.ndarray:
        return moved(picture, HELD, (160 + 100 * np.sin(2.5 * t), 115))(t)

    fast = [
        look for look in show(picture, flying, 4.0, living=True) if abs(np.cos(2.5 * look.at)) > 0.5
    ]
    assert states(cut) == {LivenessState.WAITING} and cut[-1].reason == "off-centre"
    assert LivenessState.PASSED not in states(answers(MotionLiveness(), fast))


def test_a_screen_in_a_hand_is_refused_for_good() -> None:
    device, layer = Picture(COLLINS, 60).crop(border=6, colour=20), ScreenLiveness()
    results = answers(layer, show(device, moved(device, BY_HAND), 4.0))
    assert LivenessState.PASSED not in states(results) and results[-1] == LivenessResult(
        LivenessState.FAILED, "screen"
    )
    alone = Picture(COLLINS, 60)
    assert states(answers(layer, show(alone, moved(alone, HELD), 5.0, fps=8, begin=4.0))) == {
        LivenessState.FAILED
    }


def test_a_screen_that_is_not_moved_waits() -> None:
    device = Picture(HOPPER, 60).crop(border=6, colour=20)
    results = answers(ScreenLiveness(), show(device, moved(device, 0.0), 3.0))
    assert (results[-1].state, results[-1].reason) == (LivenessState.WAITING, "move")


@pytest.mark.parametrize("drift_px", [0.0, -0.4], ids=["at-rest", "drifting"])
def test_screen_accepts_an_independent_rectangle(drift_px: float) -> None:
    picture, frames = Picture(COLLINS, 60), count()

    def window(frame: np.ndarray) -> np.ndarray:
        shift = round(drift_px * next(frames))
        return cv2.rectangle(frame, (90 + shift, 30), (240 + shift, 205), (20, 20, 20), 5)

    def walking(t: float) -> np.ndarray:
        return moved(picture, HELD, (145 + 8 * t, 115))(t)

    results = answers(ScreenLiveness(), show(picture, walking, 4.0, touch=window))
    assert LivenessState.FAILED not in states(results) and results[-1].state is LivenessState.PASSED


def test_screen_passes_a_face_without_rectangle() -> None:
    picture = Picture(COLLINS)
    results = answers(ScreenLiveness(), show(picture, moved(picture, BY_HAND), 2.0, living=True))
    assert LivenessState.FAILED not in states(results) and results[15].state is LivenessState.PASSED


@pytest.mark.parametrize("turn", [0.0, 0.05, 0.2])
def test_a_pattern_of_pixels_is_refused(turn: float) -> None:
    y, x = np.mgrid[:240, :320]
    cells = (np.cos(turn) * x + np.sin(turn) * y) / 2.7, (np.cos(turn) * y - np.sin(turn) * x) / 2.7
    grid = 1 + 0.08 * sum(np.cos(2 * np.pi * c) for c in cells)
    picture = Picture(COLLINS)
    results = answers(
        ScreenLiveness(),
        show(picture, moved(picture, HELD), 2.0, touch=lambda frame: frame * grid[..., None]),
    )
    assert LivenessState.PASSED not in states(results) and results[-1] == LivenessResult(
        LivenessState.FAILED, "screen"
    )


def test_blocks_of_compression_are_no_pattern() -> None:
    picture = Picture(HOPPER)
    for look in show(picture, moved(picture, BY_HAND), 1.0):
        for quality in (20, 50, 80):
            squeezed = cv2.imdecode(
                cv2.imencode(".jpg", look.image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1],
                cv2.IMREAD_COLOR,
            )
            assert measure_peak(squeezed, look.face) < 40


def test_screen_small_face_has_no_pattern() -> None:
    rng, points = np.random.default_rng(0), Picture(COLLINS, 40).landmarks_xy
    frame = noisy(np.full((240, 320, 3), 120.0), rng)
    assert measure_peak(frame, look_at(frame, points, 0.0, rng).face) == 0
    at_border = Picture(COLLINS, 80).landmarks_xy
    assert (
        measure_peak(frame, look_at(frame, at_border - at_border.mean(axis=0), 0.0, rng).face) == 0
    )


@pytest.mark.parametrize("tilt", [0.0, 9.0, -15.0])
def test_rectangle_around_a_face_is_located(tilt: float) -> None:
    middle, half = np.array([180.0, 128.0]), np.array([60.0, 80.0])
    corners = cv2.boxPoints((tuple(middle), tuple(2 * half), tilt)).astype(np.int32)
    frame = cv2.fillPoly(np.full((240, 320, 3), 150, np.uint8), [corners], (60, 60, 60))
    rng = np.random.default_rng(0)
    points = Picture(COLLINS, 60).landmarks_xy
    found = find_rectangle(
        frame, look_at(frame, points - points.mean(axis=0) + (160, 115), 0.0, rng).face
    )
    assert found is not None and found.closed > 0.7
    assert np.allclose([found.x, found.y], middle, atol=6) and np.allclose(
        [found.width, found.height], 2 * half, atol=15
    )
    assert (
        find_rectangle(np.full((240, 320, 3), 150, np.uint8), look_at(frame, points, 0.0, rng).face)
        is None
    )
