"""Grants that wait although the votes suffice: person at another lane, or not alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.access.reasons import Reason
from edge.access.voting import Voting
from edge.audit.decision import decision_fields
from edge.config import TerminalConfig
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.recogniser.lane_faces import LaneFace, LaneFaceFiles
from edge.recogniser.lane_guard import LaneGuard
from edge.system.wallclock import WallClock
from edge.values import (
    Decision,
    FaceResult,
    Frame,
    LivenessResult,
    LivenessState,
    Match,
    Verdict,
)
from tests.builders import make_filter
from tests.edge.recogniser.test_pipeline import ADA, EVE, RULES, Run, face

ALONE = replace(RULES, one_at_a_time=True)
MODEL = "ab" * 32


def guard(folder: Path, name: str = "here") -> LaneGuard:
    return LaneGuard(LaneFaceFiles(folder, name, MODEL, ADA.size), RULES.cooldown_s)


class OtherLane:
    """Another lane that sees a face at the times of a run."""

    def __init__(self, folder: Path) -> None:
        self._files = LaneFaceFiles(folder, "there", MODEL, ADA.size)

    def see(self, at: float, rank: float, embedding: np.ndarray = ADA) -> None:
        self._files.write([LaneFace("there", at, rank, embedding)], at)


def test_voting_hold_keeps_the_votes() -> None:
    voting, holds = Voting(RULES), [Reason.OTHER_LANE, Reason.OTHER_LANE, None]
    decisions = []
    for at in (0.1, 0.2, 0.3, 0.4, 0.5):
        pending = Decision(
            Verdict.PENDING, Reason.INSUFFICIENT_VOTES, Match("Ada", 0.9, 0.1), 0.5, 0.0, 0, at
        )
        passed = LivenessResult(LivenessState.PASSED)
        decisions.append(voting.add_frame(1, pending, 1.0, passed, lambda: holds.pop(0)))
    assert [(one.verdict.value, one.reason.value) for one in decisions] == [
        ("pending", "insufficient-votes"),
        ("pending", "insufficient-votes"),
        ("refused", "other-lane"),
        ("refused", "other-lane"),
        ("grant", "match"),
    ]


def test_voting_hold_is_no_decision_timeout() -> None:
    voting, reasons = Voting(RULES), set()
    for frame in range(round(2 * RULES.decision_timeout_s / 0.1)):
        at = frame / 10
        pending = Decision(
            Verdict.PENDING, Reason.INSUFFICIENT_VOTES, Match("Ada", 0.9, 0.1), 0.5, 0.0, 0, at
        )
        passed = LivenessResult(LivenessState.PASSED)
        decision = voting.add_frame(1, pending, 1.0, passed, lambda: Reason.OTHER_LANE)
        reasons.add(decision.reason)
    assert reasons == {Reason.INSUFFICIENT_VOTES, Reason.OTHER_LANE}


def test_pipeline_person_at_other_lane_is_held(tmp_path: Path) -> None:
    other, run = OtherLane(tmp_path / "lanes"), Run(guard=guard(tmp_path / "lanes"))
    reasons = []
    for _ in range(5):
        other.see(run.at + 0.1, rank=1.0)
        reasons.append(run.frame(face(300))[0].decision.reason)
    other.see(run.at + 0.1, rank=0.01)  # walks on to this lane
    granted = run.frame(face(290))[0].decision
    assert reasons == [Reason.INSUFFICIENT_VOTES] * 2 + [Reason.OTHER_LANE] * 3
    assert granted.verdict is Verdict.GRANT and granted.votes == 6


@pytest.mark.parametrize(("seen", "age_s"), [("another", 0.0), ("Ada", 0.6)])
def test_pipeline_old_faces_hold_no_one(tmp_path: Path, seen: str, age_s: float) -> None:
    other, run = OtherLane(tmp_path / "lanes"), Run(guard=guard(tmp_path / "lanes"))
    for _ in range(3):
        other.see(run.at + 0.1 - age_s, 1.0, ADA if seen == "Ada" else EVE)
        decision = run.frame(face(300))[0].decision
    assert decision.verdict is Verdict.GRANT


def test_pipeline_revoked_grant_frees_other_lane(tmp_path: Path) -> None:
    here = Run(guard=guard(tmp_path / "lanes"))
    there = Run(guard=guard(tmp_path / "lanes", "there"))
    for _ in range(3):
        granted = here.frame(face(260))[0]
    assert granted.decision.verdict is Verdict.GRANT
    here.pipeline.revoke_grant(granted.track, "Ada", retry_s=1.0)
    here.frame()  # the person has left
    for _ in range(3):
        there.at = here.at
        result = there.frame(face(300))
        here.frame()
    assert result[0].decision.reason is Reason.OTHER_LANE  # for half a second
    for _ in range(5):
        result = there.frame(face(300))
    assert result == [] or result[0].decision.verdict is not Verdict.REFUSED


def test_one_at_a_time_second_face_holds_grants() -> None:
    run = Run(rules=ALONE)
    run.networks.further = [EVE]
    for _ in range(4):
        results = run.frame(face(100), face(400, width=100))
    assert {one.decision.reason for one in results} == {Reason.ONE_AT_A_TIME}
    assert {one.others_in_zone for one in results} == {1}
    found = [run.frame(face(100)) for _ in range(11)]  # the other one counts for a second
    reasons = [results[0].decision.reason for results in found]
    assert reasons[0] is Reason.ONE_AT_A_TIME and Reason.MATCH in reasons


@pytest.mark.parametrize("other", [face(100, width=40), face(560)])
def test_one_at_a_time_far_faces_hold_no_one(other: object) -> None:
    run = Run(make_filter(60, zone=(0.0, 0.0, 0.8, 1.0)), rules=ALONE)
    for _ in range(3):
        results = run.frame(face(300), other)  # type: ignore[arg-type]
    granted = next(one for one in results if one.decision.verdict is Verdict.GRANT)
    assert granted.others_in_zone == 0


def test_one_at_a_time_grant_needs_a_full_search() -> None:
    run = Run(make_filter(60, search_interval_s=1.0), rules=ALONE)
    searches = [run.networks.searches for _ in range(3) if run.frame(face(100))]
    assert searches == [1, 1, 2]


def test_others_in_zone_are_in_records_of_grants() -> None:
    run = Run()
    frame = Frame(np.zeros((1, 1, 3), np.uint8), 0.0, 0)
    found = [decision_fields(frame, one, "", "") for one in run.frame(face(100), face(400))]
    assert "others_in_zone" not in found[0]
    for _ in range(2):
        found = [decision_fields(frame, one, "", "") for one in run.frame(face(100), face(400))]
    assert "grant" in {one["verdict"] for one in found}
    assert {one["others_in_zone"] for one in found if one["verdict"] == "grant"} == {1}


def held(track: int, at: float, reason: Reason = Reason.OTHER_LANE) -> FaceResult:
    match = Match("Ada", 0.9, 0.1)
    decision = Decision(Verdict.REFUSED, reason, match, 0.5, 0.0, 3, at)
    return FaceResult(face(100), track, None, None, decision)


def test_log_held_grant_is_recorded_once(tmp_path: Path) -> None:
    config = TerminalConfig.model_validate(
        {
            "bundle": tmp_path,
            "state": tmp_path,
            "camera": {"kind": "replay", "path": tmp_path},
            "liveness": {"kind": "none"},
        }
    )
    log = DecisionLog(config, bytes(32), WallClock(), LogThrottle(lambda: 0.0))
    recorded = [not log.is_repeated(held(1, frame / 10)) for frame in range(100)]
    assert recorded == [True] + [False] * 99
    assert not log.is_repeated(held(2, 10.0))
    assert not log.is_repeated(held(1, 10.0, Reason.ONE_AT_A_TIME))
    assert log.is_repeated(held(1, 10.1))
    assert not log.is_repeated(held(1, 20.0))  # again after a while
    log.close()
