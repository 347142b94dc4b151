"""Events in words."""

from __future__ import annotations

import pytest

from edge.console.records.sentences import describe, reason_sentence


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            {"kind": "decision", "verdict": "refused", "reason": "too-far"},
            "The eyes are too close together in the picture; come closer",
        ),
        ({"event": "unlocked", "reason": "pulse"}, "The lock was released: access was granted"),
        (
            {"event": "lockdown", "reason": "operator"},
            "An operator started a lockdown: a command of an operator",
        ),
        (
            {"event": "refused", "reason": "lockdown"},
            "A grant or command was refused: the door is in lockdown; release it first",
        ),
        (
            {"event": "operator-command", "reason": "hold"},
            "An operator sent a command: hold the door unlocked until it is released",
        ),
        (
            {"kind": "gap", "reason": "unclean-stop"},
            "Records are missing, or the process was stopped without notice",
        ),
        ({"event": "of-a-newer-version", "reason": "why"}, "Of-a-newer-version: why"),
        ({"kind": "started"}, "The process started"),
        ({"event": ["no", "text"], "reason": 7}, "['no', 'text']"),
        ({}, "?"),
    ],
)
def test_record_is_described(record: dict[str, object], sentence: str) -> None:
    assert describe(record).startswith(sentence)


def test_reason_depends_on_the_event() -> None:
    assert reason_sentence({"event": "alarm", "reason": "tamper"}) != reason_sentence(
        {"event": "refused", "reason": "tamper"}
    )
