from __future__ import annotations

from typing import Any

import numpy as np

from edge.demo import clip, outcome, report
from edge.demo.outcome import PASSED
from edge.demo.scenario import SCENES, Scene, frame_ranges
from edge.synthesis import drawing
from tests.edge.demo.records import DECISIONS, DOOR, PLAIN, Records, decision, opening

FRAMES = [np.zeros((480, 640, 3), np.uint8)] * frame_ranges(SCENES)[-1].stop


def page(decisions: Records, door: Records, name: str = "reference") -> str:
    found = outcome.build_outcome(SCENES, decisions, door)
    return report.render_report(
        found, FRAMES, {1: np.zeros((112, 224, 3), np.uint8)}, {"Model": name}
    )


def test_report_shows_pictures_scores_and_door() -> None:
    shown = page(DECISIONS, DOOR)
    assert PASSED in shown and "Liveness is off" in shown
    assert shown.count("data:image/png;base64,") >= 2 and "<svg" in shown
    for words in (
        "held-open",
        "fire-input-active",
        "a stranger",
        "ada",
        "contact: open",
        "asks for a card or PIN",
        "wrong-pin",
        "raises a silent alarm",
        ">PIN of Eileen Collins<",
        ">duress PIN of Eileen Collins<",
    ):
        assert words in shown


def test_what_happens_again_and_again_is_one_line() -> None:
    refused = [
        {**e, "at": e["at"] + 0.2 * i}
        for e in DOOR
        if e["reason"] == "lockdown" and "subject" in e
        for i in range(5)
    ]
    assert "refuses, 5 times" in page(DECISIONS, [*(e for e in DOOR if e not in refused), *refused])


def test_names_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    shown = page([decision(1, PLAIN, evil)], opening(1, PLAIN, evil), evil)
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "Not as expected" in shown and "FAIL" in shown


def test_report_without_door_records() -> None:
    assert "Not as expected" in page(DECISIONS, [])


def test_the_clip_is_the_same_every_time(
    collins: np.ndarray, hopper: np.ndarray, detector: Any
) -> None:
    cutouts = {
        name: drawing.Cutout(image, detector.detect(image)[0])
        for name, image in (("Eileen Collins", collins), ("Grace Hopper", hopper))
    }
    scenes = tuple(Scene(s.title, 0.2, s.person, s.mask) for s in SCENES)
    first, again = (np.stack(list(clip.draw_frames(scenes, cutouts))) for _ in range(2))
    assert first.shape == (45, 480, 640, 3) and np.array_equal(first, again)
    assert len(drawing.enrollment_views(cutouts["Eileen Collins"])) == 3
