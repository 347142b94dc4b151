from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge.demo import clip, report
from edge.demo.clip import FPS, SCENES


def decision(number: int, at_s: float, verdict: str = "grant", subject: str = "Eileen Collins") -> dict[str, Any]:
    return {
        "kind": "decision", "id": number, "verdict": verdict, "reason": "match", "frame": round(at_s * FPS),
        "frame_at": 500 + round(at_s * FPS) / FPS, "box_xyxy": [10, 10, 60, 60], "model": "abc", "liveness": "no PAD",
        "threshold": 0.5, "mask_worn": 0.0, "votes": 3, "score": 0.9, "subject": subject,
        "attention": {"on_eyes": 0.5, "on_rest": 0.5, "mean_face": 0.4},
    }  # fmt: skip


def opening(record: int, at_s: float, subject: str = "Eileen Collins") -> list[dict[str, Any]]:
    unlocked = {"event": "unlocked", "at": 500 + at_s, "subject": subject, "record_id": record}
    return [unlocked, {"event": "relocked", "at": 503 + at_s}]


STARTS = [sum(s.seconds for s in SCENES[:i]) for i in range(len(SCENES))]
PLAIN, STRANGER, MASKED = (STARTS[i] + 1 for i in (1, 3, 5))


def test_it_passes_only_for_the_right_openings() -> None:
    both = [decision(1, PLAIN), decision(2, MASKED)]
    doors = opening(1, PLAIN) + opening(2, MASKED)
    story = report.tell(SCENES, both, doors)
    assert story.passed and len(story.open_spans) == 2
    assert "DOOR OPENS" in report.timeline(story)

    def passes(decisions: list[dict[str, Any]], events: list[dict[str, Any]]) -> bool:
        return report.tell(SCENES, decisions, events).passed

    assert not passes(both, opening(1, PLAIN)), "masked stayed out"
    assert not passes([*both, decision(3, STRANGER)], doors + opening(3, STRANGER)), "a stranger came in"
    assert not passes(both, opening(1, PLAIN) + opening(2, MASKED, "Eve")), "under another name"
    assert not passes(both, doors + opening(99, STRANGER)), "opened for no decision at all"
    assert not passes(both, doors[:-1]), "never locked again"


def test_nothing_decided_is_no_story() -> None:
    with pytest.raises(ValueError, match="no decision"):
        report.tell(SCENES, [], [])


def test_the_page_holds_everything_and_escapes_names() -> None:
    evil = "<script>alert(1)</script>"
    story = report.tell(SCENES, [decision(1, PLAIN, subject=evil)], opening(1, PLAIN, evil))
    frames = [np.zeros((480, 640, 3), np.uint8)] * 400
    page = report.page(story, frames, {1: np.zeros((112, 224, 3), np.uint8)}, {"Model": evil})
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert page.count("data:image/png;base64,") >= 2 and "<svg" in page and "Liveness is off" in page


def test_the_clip_is_the_same_every_time(collins: np.ndarray, hopper: np.ndarray, detector: Any) -> None:
    cutouts = {
        name: clip.Cutout(image, detector.detect(image)[0])
        for name, image in (("Eileen Collins", collins), ("Grace Hopper", hopper))
    }
    scenes = tuple(clip.Scene(s.title, 0.2, s.person, s.mask) for s in SCENES)
    first, again = (np.stack(list(clip.frames(scenes, cutouts))) for _ in range(2))
    assert first.shape == (27, 480, 640, 3) and np.array_equal(first, again)
    assert len(clip.enrollment_views(cutouts["Eileen Collins"])) == 3
