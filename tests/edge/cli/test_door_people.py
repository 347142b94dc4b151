"""`edge-door person` and the operator commands of the access rules, with a running door."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.audit.reader import read_log
from edge.cli import door as command
from edge.config import load_config
from edge.door.card_learner import ABANDONED_S, LEARN_S
from edge.door.credentials_file import read_document
from tests.doors import CLOCK, until
from tests.lanes import BENS_CARD, LAB, NO_CARD, LaneDoor, lane_door, make_people

Call = Callable[..., str]
REASON = ("--reason", "a test")
ALWAYS = [
    {"days": ["mon-fri", "sat", "sun"], "begin": begin, "end": end, "fallback": ["card"]}
    for begin, end in (("00:00", "12:00"), ("12:00", "00:00"))
]
FALLBACK = {"spans": ALWAYS}


@pytest.fixture
def config_path(write_config: Callable[..., Path], tmp_path: Path) -> Path:
    return write_config(state=str(tmp_path), door={"socket": str(tmp_path / "door.sock")})


@pytest.fixture
def call(
    config_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run `edge-door` and return what it printed; `typed` is standard input."""

    def run(*arguments: str, typed: str = "", code: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        assert command.main([*arguments, "--config", str(config_path)]) == code
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[LaneDoor]:
    with lane_door(tmp_path, {**LAB, "mode": "pin-and-face"}) as made:
        yield made


def test_person_is_set_shown_and_removed(call: Call, config_path: Path) -> None:
    said = call(
        "person", "set", "Ada", "--groups", "staff", "--max-uses", "3", "--card", "26:12:3456",
        "--pin", "--duress-pin", *REASON, typed="271828\n314159\n",
    )  # fmt: skip
    assert "saved" in said and "not in the audit log" in said  # no door runs
    shown = json.loads(call("person", "show", "Ada", "--json"))
    assert (shown["groups"], shown["max_uses"]) == (["staff"], 3)
    assert (shown["cards"], shown["pin"], shown["duress_pin"]) == (1, True, True)
    assert "Ada  (staff, 3 visits, 1 card, PIN, duress PIN)" in call("person", "list")
    call("person", "set", "Ada", "--no-pin", "--no-cards", "--max-uses", "none", *REASON)
    config = load_config(config_path)
    (ada,) = read_document(config.people_path, config.people_key_path).people
    assert (ada.cards, ada.pin, ada.max_uses, ada.groups) == ((), None, None, ("staff",))
    call("person", "remove", "Ada", *REASON)
    assert call("person", "list").strip() == "0 people"


def test_person_mistakes_change_nothing(call: Call) -> None:
    assert "not a person" in call("person", "show", "Eve", code=1)
    assert "needs --pin" in call("person", "set", "Eve", "--duress-pin", *REASON, code=2)
    assert "4 to 12" in call("person", "set", "Eve", "--pin", *REASON, typed="12\n", code=2)
    assert call("person", "list").strip() == "0 people"


def test_panel_card_is_set_for_a_panel_only(call: Call, write_config: Callable[..., Path]) -> None:
    given = ("person", "set", "Ada", *REASON, "--panel-card")
    assert "no panel is configured" in call(*given, "4711", code=2)
    line = {"kind": "osdp", "device": "/dev/ttyUSB0", "key_file": "panel.key"}
    config = load_config(write_config())
    write_config(state=str(config.state), door={"panel": line})
    assert "at most 65535" in call(*given, "70000", code=2)
    assert "saved" in call(*given, "4711")
    assert "Ada  (panel card)" in call("person", "list") and "4711" not in call("person", "list")
    call(*given, "none")
    assert not json.loads(call("person", "show", "Ada", "--json"))["panel_card"]


def test_lost_card_is_removed_alone(call: Call) -> None:
    cards = ("--card", "26:12:3456", "--card", "26:12:3457")
    call("person", "set", "Ada", *cards, *REASON)
    call("person", "set", "Ada", "--remove-card", "26:12:3456", *REASON)
    assert json.loads(call("person", "show", "Ada", "--json"))["cards"] == 1
    lost = call("person", "set", "Ada", "--remove-card", "26:12:3456", *REASON, code=1)
    assert "does not have this card" in lost and "3456" not in lost


def test_pins_are_no_arguments(call: Call) -> None:
    with pytest.raises(SystemExit):
        call("person", "set", "Ada", "--pin", "271828", *REASON)


def test_person_change_reaches_the_door(call: Call, lane: LaneDoor) -> None:
    assert "saved" in call("person", "set", "Ada", "--pin", *REASON, typed="271828\n")
    until(lambda: [r["people"] for r in lane.records("people-changed")][-1:] == [1])
    assert lane.face("Ada") == "waiting"
    lane.type_until("pin 271828", "unlocked")
    (announced,) = lane.records("operator-command")
    assert (announced["reason"], announced["target"]) == ("change-people", "Ada")
    assert announced["note"] == "a test"


def test_operator_resets_zones(call: Call, lane: LaneDoor) -> None:
    assert call("set-zone", "lab", "2", *REASON).strip() == "done"
    assert "zone lab: 2 of 2 inside" in call("status")
    assert "known: lab" in call("set-zone", "yard", "2", *REASON, code=1)
    assert "not a person" in call("reset-uses", "Eve", *REASON, code=1)
    assert call("reset-anti-passback", "--all", *REASON).strip() == "done"
    assert "a name such as Ada, or --all" in call("reset-lockout", *REASON, code=1)
    assert call("reset-lockout", "entry", *REASON).strip() == "done"
    assert [r["target"] for r in lane.records("operator-command")] == ["lab=2", "all", "entry"]


def test_holder_of_a_card_is_found(call: Call, lane: LaneDoor) -> None:
    call("person", "set", "Ada", "--card", "26:12:3456", *REASON)
    assert call("person", "find-card", "26:12:3456", *REASON).strip() == "Ada"
    assert "no person" in call("person", "find-card", "26:12:3457", *REASON, code=1)
    found = [one for one in lane.records("operator-command") if one["reason"] == "find-card"]
    assert [(one["target"], one["note"]) for one in found] == [
        ("Ada", "a test"), ("none", "a test")
    ]  # fmt: skip


def test_find_card_needs_a_running_door(call: Call) -> None:
    call("person", "set", "Ada", "--card", "26:12:3456", *REASON)
    said = call("person", "find-card", "26:12:3456", *REASON, code=1)
    assert "is edge-door running?" in said and "Ada" not in said


def test_find_card_needs_the_account_of_the_door(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert "may not" in call("person", "find-card", "26:12:3456", *REASON, code=2)


def test_status_shows_access_rules(call: Call, lane: LaneDoor) -> None:
    assert lane.face("Ada") == "waiting"
    said = call("status")
    assert said.splitlines()[0] == "door main of terminal terminal"
    shown = json.loads(call("status", "--json"))
    assert list(shown.items())[:3] == [
        ("terminal", "terminal"), ("door", "main"), ("instance", None)
    ]  # fmt: skip
    assert "mode: pin-and-face" in said and "waiting at in: face" in said
    assert "reader entry: ready" in said
    assert json.loads(call("status", "--json"))["access"]["mode"] == "pin-and-face"


def test_check_names_missing_readers(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(access={"mode": "card-and-face"})
    assert command.main(["check", "--config", str(path)]) == 0
    said = capsys.readouterr().out
    assert "lane main has no reader" in said and "no one has a card" in said


def test_check_refuses_damaged_people(
    write_config: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config()
    people = load_config(path).people_path
    people.parent.mkdir(parents=True, exist_ok=True)
    people.write_text("{}")
    assert command.main(["check", "--config", str(path)]) == 1
    assert "not a valid file of credentials" in capsys.readouterr().err


# ---------------------------------------------------------------- learn-card


@contextmanager
def learning(call: Call, *arguments: str, code: int = 0) -> Iterator[list[str]]:
    """Run `person learn-card` in a thread; the list has what it printed afterwards."""
    said: list[str] = []
    command = ("person", "learn-card", *arguments, "--reader", "entry", *REASON)
    thread = threading.Thread(target=lambda: said.append(call(*command, code=code)))
    thread.start()
    yield said
    until(lambda: not thread.is_alive())


def test_learned_card_opens_nothing_then_counts(tmp_path: Path, call: Call) -> None:
    with lane_door(tmp_path, FALLBACK) as lane:
        call("person", "set", "Ada", *REASON)
        until(lambda: [r["people"] for r in lane.records("people-changed")][-1:] == [1])
        with learning(call, "Ada") as said:
            until(lambda: targets(lane)[-1:] == ["entry=Ada"])
            lane.type_until(f"card {NO_CARD}", "card-learned")
            assert not lane.records("unlocked") and not lane.records("card-pin-refused")
        assert "present the card at reader entry" in said[0] and "is saved" in said[0]
        number = r"(?<![\w.])9009(?!\w)"  # also digits of a time or digest may be these
        assert "9009" not in said[0] and not re.search(number, str(read_log(tmp_path / "door")))
        until(lambda: len(lane.records("people-changed")) >= 2)
        (learned,) = lane.records("card-learned")
        assert (learned["subject"], learned["reader"]) == ("Ada", "entry")
        (unlocked,) = lane.type_until(f"card {NO_CARD}", "unlocked")
        assert unlocked["subject"] == "Ada"


def test_learning_refuses_the_card_of_another(tmp_path: Path, call: Call) -> None:
    make_people(tmp_path)
    with lane_door(tmp_path, FALLBACK) as lane:
        with learning(call, "Ada", code=1) as said:
            until(lambda: targets(lane) == ["entry=Ada"])
            (refused,) = lane.type_until(f"card {BENS_CARD}", "card-pin-refused")
        assert refused["reason"] == "card-in-use" and "Ben" not in str(refused)
        assert "belongs to another person" in said[0] and not lane.records("unlocked")


def test_learning_ends_in_time(tmp_path: Path, call: Call) -> None:
    make_people(tmp_path)
    with lane_door(tmp_path, FALLBACK) as lane:
        with learning(call, "Ada", code=1) as said:
            until(lambda: targets(lane) == ["entry=Ada"])
            assert "being learned" in call(
                "person", "learn-card", "Ben", "--reader", "entry", *REASON, code=1
            )
            CLOCK.advance(LEARN_S)
        assert "no card was presented in time" in said[0]
        lane.type_until(f"card {BENS_CARD}", "unlocked")


def test_learned_card_is_of_its_request_only(tmp_path: Path) -> None:
    make_people(tmp_path)
    with lane_door(tmp_path, FALLBACK) as lane:
        assert lane.client.command("learn-card", "a test", "entry=Ada") is None
        lane.type_until(f"card {NO_CARD}", "card-learned")
        assert lane.client.learned_card("entry=Ben") == ("none", "")
        state, digest = lane.client.learned_card("entry=Ada")
        assert state == "learned" and digest


def test_learning_without_its_client_ends(tmp_path: Path) -> None:
    make_people(tmp_path)
    with lane_door(tmp_path, FALLBACK) as lane:
        assert lane.client.command("learn-card", "a test", "entry=Ada") is None
        CLOCK.advance(ABANDONED_S)
        assert lane.client.command("learn-card", "a test", "entry=Ben") is None
        CLOCK.advance(ABANDONED_S)
        lane.type_until(f"card {BENS_CARD}", "unlocked")


def test_learning_mistakes_are_named(tmp_path: Path, call: Call) -> None:
    make_people(tmp_path)
    rules = {**FALLBACK, "lockout": {"failures": 2}}
    with lane_door(tmp_path, rules) as lane:
        learn = ("person", "learn-card")
        assert "known: entry" in call(*learn, "Ada", "--reader", "back", *REASON, code=1)
        assert "not a person" in call(*learn, "Eve", "--reader", "entry", *REASON, code=1)
        lane.type_until(f"card {NO_CARD}", "card-pin-refused")
        lane.type_until(f"card {NO_CARD}", "lockout")
        assert "is locked" in call(*learn, "Ada", "--reader", "entry", *REASON, code=1)
        assert targets(lane) == []


def targets(lane: LaneDoor) -> list[str]:
    """Return the targets of the recorded commands that learn a card."""
    found = lane.records("operator-command")
    return [one["target"] for one in found if one["reason"] == "learn-card"]
