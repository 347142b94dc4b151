"""Second factors at a running door: modes, cards, PINs, duress, lockout."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.access.lockout import LockoutRule
from edge.audit.reader import read_log
from edge.door.credential_editor import edit_credentials
from edge.door.paths import DoorPaths
from edge.errors import DoorError
from edge.names import NAME_MAX
from tests.doors import CLOCK, until
from tests.lanes import (
    ADAS_CARD,
    ADAS_DURESS_PIN,
    ADAS_PIN,
    BENS_CARD,
    BENS_PIN,
    NO_CARD,
    NO_PIN,
    lane_door,
    make_people,
)

CARD_MODE, PIN_MODE = {"mode": "card-and-face"}, {"mode": "pin-and-face"}


@pytest.fixture(autouse=True)
def people(tmp_path: Path) -> None:
    make_people(tmp_path)


def test_face_waits_for_card_of_same_person(tmp_path: Path) -> None:
    with lane_door(tmp_path, CARD_MODE) as lane:
        assert lane.face("Ada") == "waiting" and lane.client.waiting is not None
        assert lane.client.waiting.missing == ("card",) and not lane.is_unlocked
        (unlocked,) = lane.type_until(f"card {ADAS_CARD}", "unlocked")
        assert (unlocked["subject"], unlocked["record_id"]) == ("Ada", 7) and lane.is_unlocked
        assert lane.records("waiting")[0]["missing"] == ["card"]


def test_card_first_then_face_opens(tmp_path: Path) -> None:
    with lane_door(tmp_path, CARD_MODE) as lane:
        lane.type_until(f"card {ADAS_CARD}", "waiting")
        assert lane.face("Ada") is None and lane.is_unlocked


def test_error_in_a_card_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("unexpected")

    with lane_door(tmp_path, CARD_MODE) as lane:
        with monkeypatch.context() as broken:
            broken.setattr("edge.access.rules.engine.RulesEngine.present", fail)
            lane.type(f"card {ADAS_CARD}")
            until(lambda: "reader entry: event refused, internal error" in caplog.text)
        lane.type_until(f"card {ADAS_CARD}", "waiting")
        assert lane.face("Ada") is None and lane.is_unlocked


@pytest.mark.parametrize("rules", [CARD_MODE, PIN_MODE, {}])
def test_claim_needs_its_card_or_pin(tmp_path: Path, rules: dict[str, str]) -> None:
    with lane_door(tmp_path, rules) as lane:
        assert lane.claim() is None
        assert lane.face("Ada", claimed=True) == "claim-ended" and not lane.is_unlocked
        lane.type_until(f"pin {ADAS_PIN}" if rules is PIN_MODE else f"card {ADAS_CARD}", "waiting")
        assert lane.claim() == "Ada"
        assert lane.face("Ben", claimed=True) == "claim-ended"
        assert lane.face("Ada", claimed=True) is None and lane.is_unlocked
        assert lane.claim() is None


def test_claim_ends_with_its_window(tmp_path: Path) -> None:
    with lane_door(tmp_path, CARD_MODE) as lane:
        lane.type_until(f"card {ADAS_CARD}", "waiting")
        CLOCK.advance(60.0)
        assert lane.claim() is None
        assert lane.face("Ada", claimed=True) == "claim-ended" and not lane.is_unlocked


def test_waiting_face_is_no_claim(tmp_path: Path) -> None:
    with lane_door(tmp_path, CARD_MODE) as lane:
        assert lane.face("Ada") == "waiting" and lane.claim() is None
        assert lane.face("Ada", claimed=True) == "claim-ended" and not lane.is_unlocked


def test_card_of_another_person_is_refused(tmp_path: Path) -> None:
    with lane_door(tmp_path, CARD_MODE) as lane:
        assert lane.face("Ada") == "waiting"
        (refused,) = lane.type_until(f"card {BENS_CARD}", "refused")
        assert (refused["reason"], refused["subject"]) == ("other-person", "Ben")
        assert not lane.is_unlocked and not lane.records("granted")


def test_grant_of_a_name_that_grows_is_refused(tmp_path: Path) -> None:
    with lane_door(tmp_path, {}) as lane:
        assert "subject" in str(lane.face("\u0958" * NAME_MAX))  # each becomes two characters
        assert lane.face("Ada") is None


def test_withdrawn_card_ends_its_request(tmp_path: Path) -> None:
    paths = DoorPaths.in_folder(tmp_path)
    with lane_door(tmp_path, CARD_MODE) as lane:
        lane.type_until(f"card {ADAS_CARD}", "waiting")
        with edit_credentials(paths.people, paths.people_key) as editor:
            editor.remove_cards("Ada")
        until(lambda: bool(lane.records("people-changed")))
        assert lane.claim() is None
        assert lane.face("Ada") == "waiting" and not lane.is_unlocked


def test_wrong_pin_then_right_pin(tmp_path: Path) -> None:
    with lane_door(tmp_path, PIN_MODE) as lane:
        assert lane.face("Ada") == "waiting"
        (refused,) = lane.type_until(f"pin {NO_PIN}", "card-pin-refused")
        assert refused["reason"] == "wrong-pin" and "subject" not in refused
        assert not lane.is_unlocked
        lane.type_until(f"pin {ADAS_PIN}", "unlocked")
        assert lane.is_unlocked and not lane.records("duress")


def test_pin_of_another_person_is_refused(tmp_path: Path) -> None:
    with lane_door(tmp_path, PIN_MODE) as lane:
        assert lane.face("Ada") == "waiting"
        (refused,) = lane.type_until(f"pin {BENS_PIN}", "refused")
        assert refused["reason"] == "other-person" and not lane.is_unlocked


def test_pin_first_then_face_opens(tmp_path: Path) -> None:
    with lane_door(tmp_path, PIN_MODE) as lane:
        lane.type_until(f"pin {BENS_PIN}", "waiting")
        assert lane.face("Ben") is None and lane.is_unlocked


def test_masked_face_needs_card_or_pin(tmp_path: Path) -> None:
    with lane_door(tmp_path, {"masked": "require-second-factor"}) as lane:
        assert lane.face("Ada", masked=True) == "waiting" and lane.client.waiting is not None
        assert lane.client.waiting.missing == ("card", "pin")
        lane.type_until(f"pin {ADAS_PIN}", "unlocked")
        lane.relock()
        assert lane.face("Ben", masked=False) is None


def test_duress_pin_opens_with_silent_alarm(tmp_path: Path) -> None:
    with lane_door(tmp_path, PIN_MODE, has_inputs=True) as lane:
        assert lane.face("Ada") == "waiting"
        (duress,) = lane.type_until(f"pin {ADAS_DURESS_PIN}", "duress")
        until(lambda: lane.is_unlocked)
        assert duress["subject"] == "Ada" and lane.status()["alarms"] == ["duress"]
        assert lane.wires is not None and not lane.wires.alarm.energised
        assert lane.client.command("reset-duress", "police was here") is None
        assert lane.status()["alarms"] == []


def test_duress_pin_without_pin_mode_is_refused(tmp_path: Path) -> None:
    with lane_door(tmp_path, {}) as lane:
        lane.type_until(f"pin {ADAS_PIN}", "card-pin-refused")
        refused = lane.type_until(f"pin {ADAS_DURESS_PIN}", "card-pin-refused", 2)
        assert [(each["reason"], each.get("subject")) for each in refused] == [
            ("wrong-pin", None)
        ] * 2
        assert lane.records("duress")[0]["subject"] == "Ada"
        assert lane.status()["alarms"] == ["duress"] and not lane.records("waiting")


def test_duress_survives_a_restart(tmp_path: Path) -> None:
    with lane_door(tmp_path, PIN_MODE) as lane:
        lane.type_until(f"pin {ADAS_DURESS_PIN}", "duress")
    with lane_door(tmp_path, PIN_MODE) as lane:
        assert lane.status()["alarms"] == ["duress"]


def test_no_secret_is_recorded(tmp_path: Path) -> None:
    with lane_door(tmp_path, PIN_MODE) as lane:
        lane.type_until(f"card {NO_CARD}", "card-pin-refused")
        lane.type_until(f"pin {NO_PIN}", "card-pin-refused", 2)
        lane.type_until("card 26:1:99999999", "card-pin-refused", 3)
    hidden = {"hash", "mac", "commit", "prev", "wall", "mono", "at"}  # random digits
    found = [
        str(value)
        for record in read_log(tmp_path / "door")
        for key, value in record.items()
        if key not in hidden
    ]
    assert "wrong-pin" in found and "malformed" in found
    assert not any(secret in " ".join(found) for secret in (NO_PIN, NO_CARD, "9009"))


def test_wrong_cards_lock_the_reader_only(tmp_path: Path) -> None:
    with lane_door(tmp_path, {"spans": [], "lockout": {"failures": 3}}) as lane:
        for count in (1, 2, 3):
            lane.type_until(f"card {NO_CARD}", "card-pin-refused", count)
            CLOCK.advance(1.0)
        (lockout,) = lane.records("lockout")
        assert lockout["reader"] == "entry" and "subject" not in lockout
        refused = lane.type_until(f"card {ADAS_CARD}", "card-pin-refused", 4)
        assert refused[-1]["reason"] == "reader-locked"
        assert lane.face("Ada") is None  # a face is not subject to it
        CLOCK.advance(60.0)
        until(lambda: bool(lane.records("lockout-ended")))


def test_wrong_pins_lock_the_card_holder(tmp_path: Path) -> None:
    rules = {**PIN_MODE, "mode": "card-and-face", "lockout": {"failures": 2}}
    with lane_door(tmp_path, rules) as lane:
        lane.type_until(f"card {ADAS_CARD}", "waiting")
        for count in (1, 2):
            lane.type_until(f"pin {NO_PIN}", "card-pin-refused", count)
        locked = {(r.get("reader"), r.get("subject")) for r in lane.records("lockout")}
        assert locked == {("entry", None), (None, "Ada")}
        assert set(lane.status()["access"]["lockouts"]) == {"reader entry", "person Ada"}
        assert lane.client.command("reset-lockout", "it was me", "Ada") is None
        assert set(lane.status()["access"]["lockouts"]) == {"reader entry"}
        assert lane.client.command("reset-lockout", "all of them") is None
        assert not lane.status()["access"]["lockouts"]


def test_slow_wrong_pins_lock_the_card_holder(tmp_path: Path) -> None:
    rules = {**CARD_MODE, "lockout": {"failures": 2, "window_s": 1.0}}
    with lane_door(tmp_path, rules) as lane:
        for count in (1, 2):
            lane.type_until(f"card {ADAS_CARD}", "waiting", count)
            lane.type_until(f"pin {NO_PIN}", "card-pin-refused", count)
            CLOCK.advance(60.0)
        until(lambda: bool(lane.records("lockout")))
        assert [each.get("subject") for each in lane.records("lockout")] == ["Ada"]


def test_compromised_recogniser_opens_nothing(tmp_path: Path) -> None:
    """It may claim any face: that is one factor, and no one is locked out by it."""
    with lane_door(tmp_path, {**CARD_MODE, "lockout": {"failures": 2}}) as lane:
        for name in ["Ada", "Ben", "Eve", "Ada", "x" * 100] * 20:
            assert lane.face(name) == "waiting"
        assert not lane.records("granted") and not lane.records("lockout")
        assert lane.face("y" * 200) not in (None, "waiting")
        lane.type_until(f"card {ADAS_CARD}", "refused")  # ends the request of the claimed face
        lane.type_until(f"card {ADAS_CARD}", "waiting", len(lane.records("waiting")) + 1)
        assert lane.face("Ben") == "other-person"
        assert lane.face("Ada") is None


def test_lockout_rule_is_configured(tmp_path: Path) -> None:
    with lane_door(tmp_path, {"lockout": {"failures": 7}}) as lane:
        rule = lane.door.service.door.settings.access.lockout
        assert rule == LockoutRule(7, 300.0, 60.0, 3600.0)


TWO_DOORS = {
    "mode": "card-and-face",
    "lanes": [
        {"name": "other", "door": "right"},
        {"name": "left-in", "door": "left"},
        {"name": "left-out", "door": "left"},
    ],
}


def test_lanes_of_another_door_are_refused(tmp_path: Path) -> None:
    with lane_door(tmp_path, TWO_DOORS, door_name="left", reader_lane="left-out") as lane:
        assert lane.face("Ada", lane="other") == "other-door"
        assert lane.face("Ada", lane="nowhere") == "unknown-lane"
        with pytest.raises(DoorError, match="other-door"):
            lane.claim("other")
        with pytest.raises(DoorError, match="unknown-lane"):
            lane.claim("nowhere")
        refused = [(one["reason"], one["lane"]) for one in lane.records("refused")]
    assert refused == [("other-door", "other"), ("unknown-lane", "nowhere")]


def test_two_cameras_of_a_door_have_claims_apart(tmp_path: Path) -> None:
    with lane_door(tmp_path, TWO_DOORS, door_name="left", reader_lane="left-out") as lane:
        lane.type_until(f"card {ADAS_CARD}", "waiting")
        assert (lane.claim("left-in"), lane.claim("left-out")) == (None, "Ada")
        assert lane.face("Ada", lane="left-in") == "waiting"
        assert not lane.is_unlocked
        assert lane.face("Ada", lane="left-out", claimed=True) is None
        assert lane.is_unlocked
