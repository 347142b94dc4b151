from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge.access.reasons import Reason
from edge.audit.decision import decision_fields, door_fields
from edge.audit.record_fields import split_fields
from edge.values import (
    Decision,
    Face,
    FaceResult,
    Frame,
    Grant,
    LivenessResult,
    LivenessState,
    Match,
    Probe,
    Quality,
    Verdict,
    Visibility,
)

FRAME = Frame(np.zeros((1, 1, 3), np.uint8), 12.34567, 7)
FACE = Face(np.array([10.4, 20.6, 30, 40], np.float32), np.zeros((5, 2), np.float32), 0.9)
GRANTED = FaceResult(
    FACE,
    3,
    None,
    Probe(np.eye(1, 8, dtype=np.float32)[0], np.full((3, 14, 14), 0.5, np.float32), 0.0, 0.8125),
    Decision(Verdict.GRANT, Reason.MATCH, Match("Ada", 0.81234567, 0.1), 0.6, 0.01, 3, 12.3),
    Quality(100, 90, 80, 100, 100, 100),
    Visibility(90, 80, 100, 81.2),
    {"motion": LivenessResult(LivenessState.PASSED)},
)


def test_decision_fields_of_grant_are_complete() -> None:
    fields = decision_fields(FRAME, GRANTED, "c7e09a31", "ort fp32")
    json.dumps(fields, allow_nan=False)
    assert (fields["verdict"], fields["subject"], fields["frame"], fields["frame_at"]) == (
        "grant",
        "Ada",
        7,
        12.3457,
    )
    assert (fields["score"], fields["model"], fields["liveness"]) == (
        0.8123,
        "c7e09a31",
        {"motion": "passed"},
    )
    assert fields["expected_similarity"] == 0.812 and "recognisability" not in fields["visible"]
    public, personal, sealed = split_fields(fields)
    assert set(personal) == {"subject", "liveness"} and {
        "score",
        "expected_similarity",
        "attention",
        "visible",
        "quality",
    } <= set(sealed)
    assert not {"score", "threshold", "box_xyxy"} & set(public)


@pytest.mark.parametrize("verdict", [Verdict.UNKNOWN, Verdict.PENDING, Verdict.REFUSED])
def test_decision_fields_unknown_has_no_subject(verdict: Verdict) -> None:
    fields = decision_fields(
        FRAME, replace(GRANTED, decision=replace(GRANTED.decision, verdict=verdict)), "m", "e"
    )
    assert ("subject" in fields) is (verdict is not Verdict.UNKNOWN) and fields["score"] == 0.8123


def test_decision_fields_name_a_comparison() -> None:
    match = GRANTED.decision.match
    assert match is not None and "comparison" not in decision_fields(FRAME, GRANTED, "m", "e")
    claimed = replace(GRANTED.decision, match=replace(match, is_claimed=True))
    fields = decision_fields(FRAME, replace(GRANTED, decision=claimed), "m", "e")
    assert fields["comparison"] == "1:1"


def test_decision_fields_gated_face_no_scores() -> None:
    decision = Decision(Verdict.REFUSED, Reason.TOO_SMALL, None, 1.0, 0.0, 0, 12.3)
    fields = decision_fields(FRAME, FaceResult(FACE, 3, None, None, decision), "m", "e")
    assert not {"threshold", "score", "attention", "visible", "quality", "subject"} & set(fields)
    assert fields["liveness"] == "no PAD"


def test_door_fields_point_at_decision() -> None:
    fields = door_fields(Grant("ab", "Ada", 12, 1.0, "main"), "unlocked")
    assert fields == {"kind": "door", "decision": 12, "grant_id": "ab", "outcome": "unlocked"}
    assert not split_fields(fields)[1]  # no personal data
