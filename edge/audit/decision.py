"""Record fields of a decision and of the door's answer to a grant."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edge.access.reasons import Reason
from edge.audit.attention import attention_shares
from edge.audit.kinds import RecordKind
from edge.values import FaceResult, Frame, Grant, Verdict


def decision_fields(frame: Frame, result: FaceResult, model: str, engine: str) -> dict[str, Any]:
    """Return the fields of a decision, up to the last step that the face reached.

    The best match is a subject only if it is known.
    """
    decision, match = result.decision, result.decision.match
    fields: dict[str, Any] = {
        "kind": RecordKind.DECISION,
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "frame": frame.number,
        "frame_at": round(frame.at, 4),
        "box_xyxy": [round(float(v)) for v in result.face.box_xyxy],
        "model": model,
        "engine": engine,
        "track": result.track,
        "liveness": {name: answer.state.value for name, answer in result.liveness.items()}
        or "no PAD",
    }
    if result.quality is not None:
        fields["quality"] = asdict(result.quality)
    if result.probe is not None:
        fields["mask_worn"] = round(decision.mask_worn, 3)
        fields["expected_similarity"] = round(result.probe.expected_similarity, 3)
        fields["votes"] = decision.votes
        fields["attention"] = attention_shares(result.probe)
    if result.visibility is not None:
        visible = asdict(result.visibility)
        visible["explained"] = visible.pop("attention_on_face")  # the name in records
        del visible["recognisability"]  # recorded as expected_similarity
        fields["visible"] = visible
    if decision.verdict is Verdict.GRANT or decision.reason is Reason.ONE_AT_A_TIME:
        fields["others_in_zone"] = result.others_in_zone
    if match is not None:
        fields["threshold"] = round(decision.threshold, 4)
        fields["score"], fields["runner_up"] = round(match.score, 4), round(match.runner_up, 4)
        if decision.verdict is not Verdict.UNKNOWN:
            fields["subject"] = match.subject
        if match.is_claimed:
            fields["comparison"] = "1:1"
    return fields


def door_fields(grant: Grant, outcome: str) -> dict[str, Any]:
    """Return the fields of the door's answer to a grant."""
    return {
        "kind": RecordKind.DOOR,
        "decision": grant.record_id,
        "grant_id": grant.id,
        "outcome": outcome,
    }
