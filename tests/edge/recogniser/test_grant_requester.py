"""Requests of the recogniser to a real door: unlocked, waiting, refused, unreachable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.access.reasons import Reason
from edge.door.protocol import WaitingAnswer
from edge.recogniser.decision_log import LogThrottle
from edge.recogniser.grant_requester import GrantRequester, prompt_from
from edge.values import Decision, Match, Verdict
from tests.doors import CLOCK
from tests.lanes import ADAS_PIN, NO_PIN, LaneDoor, lane_door, make_people


class Records:
    """Audit log of the recogniser in memory."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def append_event(self, fields: dict[str, Any]) -> None:
        self.outcomes.append(fields["outcome"])


def requester(lane: LaneDoor, records: Records) -> GrantRequester:
    return GrantRequester(
        lane.client,
        lane.camera_lane,
        records,  # type: ignore[arg-type]
        LogThrottle(CLOCK),
    )


def decision(mask_worn: float) -> Decision:
    match = Match("Ada", 0.8, 0.1)
    return Decision(Verdict.GRANT, Reason.MATCH, match, 0.5, mask_worn, 3, CLOCK())


@pytest.mark.parametrize(("mask_worn", "waits"), [(0.0, False), (0.5, True), (1.0, True)])
def test_masked_or_uncertain_face_waits(tmp_path: Path, mask_worn: float, waits: bool) -> None:
    make_people(tmp_path)
    records = Records()
    with lane_door(tmp_path, {"masked": "require-second-factor"}) as lane:
        outcome = requester(lane, records).request(decision(mask_worn), "Ada", 7)
    assert outcome.is_unlocked is not waits
    assert outcome.prompt is (Reason.CARD_OR_PIN if waits else None)
    assert records.outcomes == ["waiting: card-or-pin" if waits else "unlocked"]


def test_wrong_pin_keeps_the_face_waiting(tmp_path: Path) -> None:
    make_people(tmp_path)
    records = Records()
    with lane_door(tmp_path, {"mode": "pin-and-face", "factor_window_s": 15.0}) as lane:
        grants = requester(lane, records)
        first = grants.request(decision(0.0), "Ada", 7)
        assert first.prompt is Reason.ENTER_PIN and first.until <= CLOCK() + 15.0
        lane.type_until(f"pin {NO_PIN}", "card-pin-refused")
        assert grants.request(decision(0.0), "Ada", 8).prompt is Reason.ENTER_PIN
        (granted,) = lane.type_until(f"pin {ADAS_PIN}", "granted")
        assert granted["record_id"] == 8


def test_unreachable_door_grants_nothing(tmp_path: Path) -> None:
    records = Records()
    with lane_door(tmp_path, {}) as lane:
        grants = requester(lane, records)
        assert grants.request(decision(0.0), "Ada", 7).is_unlocked
    outcome = grants.request(decision(0.0), "Ada", 8)
    assert not outcome.is_unlocked and outcome.prompt is None
    assert records.outcomes == ["unlocked", "unreachable"]


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (("card", "pin"), Reason.CARD_OR_PIN),
        (("card",), Reason.PRESENT_CARD),
        (("pin",), Reason.ENTER_PIN),
        ((), Reason.SECOND_PERSON),
        (("panel",), Reason.PANEL_DECIDES),
    ],
)
def test_missing_factors_become_a_reason(missing: tuple[str, ...], reason: Reason) -> None:
    assert prompt_from(WaitingAnswer(missing, 1.0)) is reason
