"""Scripts of rehearsals: parsing, the door in memory, drawn clips and the command."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.access.rules.settings import build_access_rules
from edge.access.rules.values import AuthMode, Factor, RulePerson
from edge.cli import rehearse as command
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.errors import ConfigError
from edge.names import name_key
from edge.rehearsal import page, tables
from edge.rehearsal.clips import Clip, ExpectedGrants
from edge.rehearsal.door_script import (
    DoorScript,
    RehearsedDoor,
    ScriptedInput,
    ScriptedPassage,
    list_answers,
    parse_event,
    possible_answers,
)
from edge.rehearsal.results import RehearsalResult

ADA, BOB = "Ada", "Bob"
CARD_MODE, PIN_MODE = {"mode": "card-and-face"}, {"mode": "pin-and-face"}
NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


def script(
    access: Mapping[str, Any], *inputs: str, people: Mapping[str, RulePerson] | None = None
) -> DoorScript:
    rules = build_access_rules(AccessConfig.model_validate(access), DoorConfig())
    events = tuple(map(parse_event, inputs))
    return DoorScript(rules, next(iter(rules.lanes)), people or {}, events, pulse_s=3.0)


def answers(
    access: Mapping[str, Any], *inputs: str, face_at_s: float, masked: bool = False
) -> list[str]:
    """Return the door's answers to the inputs and to the face of Ada at a time."""
    door = RehearsedDoor(script(access, *inputs), NOON)
    door.update(face_at_s)
    door.present_face(face_at_s, ADA, masked=masked)
    door.update(math.inf)
    return [f"{one.outcome} {one.detail}".strip() for one in door.results]


def test_input_of_text() -> None:
    assert parse_event("1.5 card Ada  Lovelace") == ScriptedInput(1.5, Factor.CARD, "Ada Lovelace")
    assert parse_event("0 duress-pin Ada") == ScriptedInput(0.0, Factor.DURESS_PIN, ADA)
    assert parse_event(" 2 pin ") == ScriptedInput(2.0, Factor.PIN, None)
    assert parse_event("3.2 passage sensor") == ScriptedPassage(3.2, "sensor")
    assert parse_event("1  passage  contact") == ScriptedPassage(1.0, "contact")


@pytest.mark.parametrize(
    "text",
    ["", "card Ada", "1 face Ada", "-1 pin", "nan card", "inf card", "1 passage", "1 passage Ada"],
)
def test_input_invalid_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected SECONDS"):
        parse_event(text)


def test_door_face_waits_for_card() -> None:
    assert answers(CARD_MODE, "2 card Ada", face_at_s=1) == ["waits for card", "opens"]
    assert answers(CARD_MODE, "0.5 card Ada", face_at_s=1) == ["waits for face", "opens"]
    assert answers(CARD_MODE, "20 card Ada", face_at_s=1)[1] == "waits for face"


def test_door_wrong_card_is_refused() -> None:
    found = answers(CARD_MODE, "2 card", "3 card Bob", face_at_s=1)
    assert found == ["waits for card", "refused unknown-card", "refused other-person"]


def test_door_mask_needs_pin() -> None:
    rule = {"masked": "require-second-factor"}
    found = answers(rule, "2 pin", "3 pin Ada", face_at_s=1, masked=True)
    assert found == ["waits for card or pin", "refused wrong-pin", "opens"]
    assert answers(rule, face_at_s=1) == ["opens"]


def test_door_duress_pin_opens() -> None:
    found = answers(PIN_MODE, "2 duress-pin Ada", face_at_s=1)
    assert found == ["waits for pin", "opens silent alarm"]


def test_door_pin_without_use_is_wrong() -> None:
    assert answers(CARD_MODE, "0 pin Ada", face_at_s=1)[0] == "refused wrong-pin"
    found = answers(PIN_MODE, "0 card Bob", "1 pin Ada", face_at_s=9)
    assert found[1] == "refused wrong-pin"


def walk(access: Mapping[str, Any], *inputs: str, faces: Mapping[float, str]) -> tuple[str, ...]:
    """Return the door's answers to the inputs and to faces by time."""
    door = RehearsedDoor(script(access, *inputs), NOON)
    for at_s, name in sorted(faces.items()):
        door.update(at_s)
        door.present_face(at_s, name, masked=False)
    door.update(math.inf)
    return list_answers(door.results)


def lab(passage: str = "contact", **zone: Any) -> dict[str, Any]:
    lane = {"zone": "lab", "hardware_egress": True}
    lanes = [
        {**lane, "name": "in", "passage": passage},
        {**lane, "name": "out", "direction": "out", "passage": "contact"},
    ]
    return {"zones": [{"name": "lab", **zone}], "lanes": lanes}


def test_door_second_entry_is_refused() -> None:
    hard = lab(anti_passback="hard")
    found = walk(hard, "2 passage contact", faces={1: ADA, 6: ADA, 7: ADA})
    assert found == ("opens", "passes", "refused already-inside")
    assert walk(hard, faces={1: ADA, 2: ADA}) == ("opens", "refused passage-pending")
    assert walk(hard, faces={1: ADA, 7: ADA}) == ("opens", "opens")  # void after pulse and grace


def test_door_passages_of_one_grant_tailgate() -> None:
    found = walk(lab("sensor"), "2 passage sensor", "2.1 passage sensor", faces={1: ADA})
    assert found == ("opens", "passes", "tailgating")
    assert walk(lab(), "1 passage contact", faces={}) == ("no grant",)


def test_door_full_zone_refuses() -> None:
    found = walk(lab("sensor", max_people=1), "2 passage sensor", faces={1: ADA, 3: BOB})
    assert found == ("opens", "passes", "refused zone-full")
    door = RehearsedDoor(script(lab("sensor", max_people=1), "2 passage sensor"), NOON)
    door.present_face(1.0, ADA, masked=False)
    door.update(math.inf)
    assert str(door.results[1]) == "2.00 s sensor of Ada: passes (1 of 1 in lab)"


def test_door_two_people_both_pass() -> None:
    rules = {**lab(), "two_people": {"within_s": 10}}
    rules["lanes"][0]["two_people"] = True
    found = walk(rules, "3 passage contact", faces={1: ADA, 2: BOB})
    assert found == ("waits for second person", "opens", "passes", "passes")


def test_door_uses_attributes_of_people() -> None:
    strict = {name_key(ADA): RulePerson(ADA, mode=AuthMode.PIN_AND_FACE)}
    door = RehearsedDoor(script({}, people=strict), NOON)
    assert door.present_face(0.0, ADA, masked=False) == 15.0
    assert door.present_face(1.0, BOB, masked=False) is None


def test_result_counts_openings() -> None:
    expected = ExpectedGrants(must=frozenset({ADA}))
    clip = Clip("c", "", 10.0, lambda: iter(()), expected, script=script(CARD_MODE, "1 card Ada"))
    door = RehearsedDoor(script(CARD_MODE, "1 card Ada"), NOON)
    door.present_face(0.0, ADA, masked=False)
    waiting = RehearsalResult(clip, expected, 1, (), {}, tuple(door.results))
    assert waiting.failures == ["Ada never granted"] and waiting.decision == "waits: for card"
    door.update(math.inf)
    opened = replace(waiting, requests=tuple(door.results))
    assert opened.passed and opened.decision == "opens: Ada"
    wrong = replace(opened, expected=ExpectedGrants())
    assert wrong.failures == ["the door opened for Ada at 1.00 s"] and not wrong.passed
    line = "0.00 s face of Ada: waits (for card)"
    assert f"DOOR c: {line}" in tables.text([opened])
    assert line in tables.markdown([opened], {})
    assert line in page.render_page([opened], {"Terminal": "t", "Liveness": "none"})
    assert tables.to_json_data([opened], {})["clips"][0]["requests"][1]["outcome"] == "opens"


def test_result_compares_answers() -> None:
    expected = ExpectedGrants(must=frozenset({ADA}), answers=("opens", "passes"))
    passing = script(lab(), "1 passage contact")
    clip = Clip("c", "", 10.0, lambda: iter(()), expected, script=passing)
    door = RehearsedDoor(passing, NOON)
    door.present_face(0.0, ADA, masked=False)
    short = RehearsalResult(clip, expected, 1, (), {}, tuple(door.results))
    assert short.failures == ["expected of the door: opens, passes; found: opens"]
    assert not short.passed and short.decision == "opens"
    door.update(math.inf)
    full = replace(short, requests=tuple(door.results))
    assert full.passed and not full.failures
    assert full.expectation == full.decision == "opens, passes"
    html = page.render_page([full], {"Terminal": "t", "Liveness": "none"})
    assert "1.00 s contact of Ada: passes (1 in lab)" in html
    assert "Expected: opens, passes" in html
    data = tables.to_json_data([full], {})["clips"][0]
    assert data["answers"] == data["expected"]["answers"] == ["opens", "passes"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (
            "--zones",
            (
                "enters-twice: 1.40 s contact of Eileen Collins: passes (1 in lab)",
                "card of Eileen Collins: refused (already-inside)",
                "tailgating: 1.80 s sensor of no one: tailgating (2 in lab)",
                "face of Eileen Collins: refused (zone-full)",
                "card of Grace Hopper: opens",
            ),
        ),
        (
            "--second-factors",
            (
                "card of Eileen Collins: opens",
                "card of Grace Hopper: refused (other-person)",
                "card of no one: refused (unknown-card)",
                "pin of no one: refused (wrong-pin)",
                "pin of Eileen Collins: opens",
                "duress-pin of Eileen Collins: opens (silent alarm)",
            ),
        ),
    ],
)
def test_command_plays_drawn_clips(
    write_config: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    option: str,
    expected: tuple[str, ...],
) -> None:
    assert command.main(["--config", str(write_config()), option]) == 0
    shown = capsys.readouterr().out
    for words in expected:
        assert words in shown


def test_command_refuses_passage_without_input(
    write_config: Callable[..., Path], clip: Callable[..., Path], collins: np.ndarray
) -> None:
    base = ["--config", str(write_config()), str(clip((collins, 1)))]
    assert command.main([*base, "--present", "1 passage sensor"]) == 2


def test_command_compares_expected_answers(
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    tmp_path: Path,
    collins: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cv2.imwrite(str(tmp_path / "ada.png"), collins)
    base = ["--config", str(write_config()), "--photo", f"Ada={tmp_path}/ada.png"]
    base.append(f"{clip((collins, 6))}=Ada")
    assert command.main([*base, "--expect", "opens"]) == 0
    assert command.main([*base, "--expect", "opens", "--expect", "passes"]) == 1
    assert "expected of the door: opens, passes; found: opens" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        (
            "--present",
            "1 card Bob",
            "'Bob' is neither enrolled nor a person of the door; known: Ada",
        ),
        ("--expect", "open", "--expect 'open': expected one of: opens, opens silent alarm, passes"),
        ("--expect", "refused", "waits for card or face, .*, refused unknown-card"),
    ],
)
def test_command_lists_valid_words(
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    tmp_path: Path,
    collins: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    option: str,
    text: str,
    words: str,
) -> None:
    cv2.imwrite(str(tmp_path / "ada.png"), collins)
    base = ["--config", str(write_config()), "--photo", f"Ada={tmp_path}/ada.png"]
    assert command.main([*base, str(clip((collins, 1))), option, text]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_possible_answers_are_those_of_doors() -> None:
    waits = {"waits for card or pin", "waits for second person"}
    assert waits | {"opens silent alarm", "refused zone-full"} <= set(possible_answers())


def test_command_presents_card_at_a_clip(
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    tmp_path: Path,
    collins: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cv2.imwrite(str(tmp_path / "ada.png"), collins)
    base = ["--config", str(write_config(access=CARD_MODE)), "--photo", f"Ada={tmp_path}/ada.png"]
    base.append(f"{clip((collins, 6))}=Ada")
    assert command.main([*base, "--present", "0.3 card Ada"]) == 0
    assert "card of Ada: opens" in capsys.readouterr().out
    assert command.main([*base, "--present", "0.3 card"]) == 1
    assert "Ada never granted" in capsys.readouterr().out
