from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edge.config import TerminalConfig
from edge.face.detect import FaceDetector
from edge.portraits import HOPPER
from edge.recogniser.networks import open_networks
from edge.rehearsal.adversarial import SUBJECT, adversarial_clips
from edge.rehearsal.clips import Clip, ClipFrame
from edge.rehearsal.play import enroll_in_memory, rehearse
from edge.rehearsal.results import RehearsalResult
from edge.synthesis.drawing import Cutout, cut_out, enrollment_views

STRANGER = HOPPER.person
NAMES = [clip.name for clip in adversarial_clips({})]


@pytest.fixture(scope="module")
def cutouts(detector: FaceDetector) -> dict[str, Cutout]:
    return cut_out(detector)


@pytest.fixture(scope="module")
def by_name(cutouts: dict[str, Cutout]) -> dict[str, Clip]:
    return {clip.name: clip for clip in adversarial_clips(cutouts)}


@pytest.fixture(scope="module")
def rehearse_clip(
    bundle_path: Path, cutouts: dict[str, Cutout], by_name: dict[str, Clip]
) -> Callable[[str], RehearsalResult]:
    """Rehearse a clip on a terminal with all defaults."""
    camera = {"kind": "replay", "path": "clip"}
    config = TerminalConfig.model_validate(
        {"bundle": bundle_path, "camera": camera, "liveness": {"kind": "none"}}
    )
    networks = open_networks(config)
    views = [(f"view {n}", view) for n, view in enumerate(enrollment_views(cutouts[SUBJECT]))]
    gallery = enroll_in_memory({SUBJECT: views}, config, networks)
    return lambda name: rehearse([(by_name[name], gallery)], config, networks)[0]


@pytest.mark.parametrize("name", NAMES)
def test_clip_grants_exactly_those_expected(
    name: str, rehearse_clip: Callable[[str], RehearsalResult]
) -> None:
    result = rehearse_clip(name)
    assert result.frames == result.clip.frames and result.decisions
    assert result.false_grants == [] and result.missed == []


def shots(clip: Clip, frames: int | None = None) -> list[ClipFrame]:
    return list(islice(clip.play(), frames))


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_is_the_same_every_time(name: str, by_name: dict[str, Clip]) -> None:
    first, again = (np.stack([shot.image for shot in shots(by_name[name], 2)]) for _ in range(2))
    assert first.shape == (2, 480, 640, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_clips_expected_grants(by_name: dict[str, Clip]) -> None:
    assert {name for name, clip in by_name.items() if clip.spoof} == {
        "photo",
        "frozen-stream",
        "screen",
    }
    assert all(
        clip.expected.must | clip.expected.may <= {SUBJECT} and clip.drawn
        for clip in by_name.values()
    )


def test_clip_frozen_stream_has_no_noise(
    by_name: dict[str, Clip],
) -> None:
    frozen, photo = shots(by_name["frozen-stream"], 2), shots(by_name["photo"], 2)
    assert np.array_equal(frozen[0].image, frozen[1].image)
    difference = photo[0].image.astype(float) - photo[1].image
    assert 2 < difference.std() < 8


@pytest.mark.parametrize("name", ["photo", "screen", "crossing", "five-faces", "far", "swap"])
def test_faces_are_where_the_clip_says(
    name: str, by_name: dict[str, Clip], detector: FaceDetector
) -> None:
    shot = shots(by_name[name], 1)[0]
    boxes = [face.box_xyxy for face in detector.detect(shot.image)]
    assert shot.people is not None and len(boxes) == len(shot.people)
    for who in shot.people:
        x, y = who.centre_xy
        assert any(x0 < x < x1 and y0 < y < y1 for x0, y0, x1, y1 in boxes), who


def test_who_is_in_it_changes_as_the_clip_says(by_name: dict[str, Clip]) -> None:
    def people(name: str, frames: int | None = None) -> list[list[str]]:
        drawn = shots(by_name[name], frames)
        return [sorted(p.person for p in shot.people or ()) for shot in drawn]

    assert people("swap", 3) == [[SUBJECT], [SUBJECT], [STRANGER]]
    crossing = people("crossing")
    assert crossing[0] == crossing[-1] == [SUBJECT, STRANGER]
    assert crossing[len(crossing) // 2] == [SUBJECT]
    assert people("five-faces", 1)[0].count(STRANGER) == 4


def test_a_mask_comes_and_goes(by_name: dict[str, Clip]) -> None:
    def blue(shot: ClipFrame) -> float:  # of the lower half of the face
        patch = shot.image[230:265, 290:350].reshape(-1, 3).mean(axis=0)
        return float(patch[0] - patch[2])

    on, down = (shots(by_name[name]) for name in ("mask-put-on", "mask-pulled-down"))
    assert blue(on[0]) < 0 < blue(on[-1])
    assert blue(down[-1]) < 0 < blue(down[0])
