"""Events in words."""

from __future__ import annotations

import pytest

from edge.console.records.sentences import describe, in_english, reason_sentence
from edge.console.translation import read_languages


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
    assert describe(record, in_english).startswith(sentence)


def test_reason_depends_on_the_event() -> None:
    alarm, refusal = ({"event": event, "reason": "tamper"} for event in ("alarm", "refused"))
    assert reason_sentence(alarm, in_english) != reason_sentence(refusal, in_english)


def test_sentence_is_translated() -> None:
    japanese = read_languages()["ja"]
    record = {"kind": "decision", "verdict": "grant", "reason": "match"}
    assert describe(record, japanese.gettext) != describe(record, in_english) == "Access granted"
