"""Records of both processes in an expected run of the demo, with a separate clock."""

from __future__ import annotations

from typing import Any

from edge.demo.scenario import SCENES, frame_ranges
from edge.synthesis.drawing import FPS

Records = list[dict[str, Any]]

CLIP_BEGAN_AT = 500.0
COLLINS = "Eileen Collins"
STARTS = [frames.start / FPS for frames in frame_ranges(SCENES)]
PLAIN, STRANGER, MASKED, DURESS, LOCKED_OUT, RELEASED, EMPTY = (
    STARTS[i] + 1 for i in (1, 3, 5, 7, 11, 13, 14)
)


def decision(number: int, at_s: float, subject: str = COLLINS) -> dict[str, Any]:
    frame = round(at_s * FPS)
    return {
        "kind": "decision",
        "id": number,
        "verdict": "grant",
        "reason": "match",
        "frame": frame,
        "frame_at": CLIP_BEGAN_AT + frame / FPS,
        "box_xyxy": [10, 10, 60, 60],
        "model": "abc",
        "liveness": "no PAD",
        "threshold": 0.5,
        "mask_worn": 0.0,
        "votes": 3,
        "score": 0.9,
        "subject": subject,
        "attention": {"on_eyes": 0.5, "on_rest": 0.5, "mean_face": 0.4},
    }


def event(name: str, reason: str, at_s: float, **more: Any) -> dict[str, Any]:
    return {"event": name, "reason": reason, "at": CLIP_BEGAN_AT + at_s, **more}


def opening(record: int, at_s: float, subject: str = COLLINS) -> Records:
    unlocked = event("unlocked", "grant", at_s, subject=subject, record_id=record)
    return [unlocked, event("relocked", "pulse-ended", at_s + 3)]


DECISIONS = [
    decision(1, PLAIN),
    decision(2, MASKED),
    decision(3, LOCKED_OUT),
    decision(4, RELEASED),
    decision(6, DURESS),
]


def asking(record: int, at_s: float, subject: str = COLLINS) -> dict[str, Any]:
    return event("waiting", "missing-factor", at_s, subject=subject, record_id=record)


WRONG_PIN = [
    asking(2, MASKED),
    event("card-pin-refused", "wrong-pin", MASKED + 0.8, reader="entry"),
    *opening(2, MASKED + 1.5),
]
DURESS_PIN = [
    asking(6, DURESS),
    event("duress", "pin", DURESS + 0.7, subject=COLLINS),
    *opening(6, DURESS + 0.8),
    event("reset-duress", "operator", DURESS + 2.5),
]
LOCKDOWN = [
    event("operator-command", "lockdown", LOCKED_OUT - 2, operator="ada", note="a stranger"),
    event("lockdown", "operator", LOCKED_OUT - 2),
    event("refused", "lockdown", LOCKED_OUT, subject=COLLINS, record_id=3),
    event("release", "operator", RELEASED - 0.5),
]
ALARM = [
    event("contact-active", "input", RELEASED + 0.5),
    event("alarm", "held-open", RELEASED + 2),
    event("contact-inactive", "input", RELEASED + 3),
    event("alarm-ended", "held-open", RELEASED + 3),
]
FIRE = [
    event("fire", "input", EMPTY),
    event("unlocked", "fire", EMPTY),
    event("refused", "fire-input-active", EMPTY + 1, operator="ada"),
    event("reset-fire", "operator", EMPTY + 2),
    event("relocked", "fire-ended", EMPTY + 2),
]
DOOR = [
    *opening(1, PLAIN),
    *WRONG_PIN,
    *DURESS_PIN,
    *LOCKDOWN,
    *opening(4, RELEASED),
    *ALARM,
    *FIRE,
]
