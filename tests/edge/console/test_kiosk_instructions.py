"""Instructions of the kiosk's screen: one for each code, without information for attackers."""

from __future__ import annotations

from edge.access.reasons import Reason
from edge.access.rules.codes import RuleRefusal
from edge.console.kiosk.instructions import (
    DOOR_INSTRUCTIONS,
    FACE_INSTRUCTIONS,
    find_prompt,
    find_refusal,
    find_wait,
)
from edge.console.translation import read_languages
from edge.door.events import CredentialRefusal, DoorRefusal
from edge.door.readers.panel_events import PanelVerdict

SILENT = {  # the screen stays as it is
    Reason.COOLDOWN,
    Reason.SKIPPED,
    Reason.OUTSIDE_ZONE,
    Reason.NOT_NEAREST,
    DoorRefusal.FIRE_INPUT_ACTIVE,
    DoorRefusal.CASE_OPEN,
    DoorRefusal.SUPPRESSED,
    CredentialRefusal.CARD_IN_USE,
    PanelVerdict.GRANTED,
    PanelVerdict.SENT,
}
ATTACKS = (Reason.FROZEN, Reason.NO_MOTION, Reason.SCREEN, Reason.NOT_LIVING, Reason.NOT_ENROLLED)
TEXT_MAX = {"en": 42, "ja": 24}  # three lines at two metres


def test_each_code_has_an_instruction() -> None:
    assert set(FACE_INSTRUCTIONS) == set(Reason)
    refusals = {*DoorRefusal, *RuleRefusal, *CredentialRefusal, *PanelVerdict}
    assert set(DOOR_INSTRUCTIONS) == refusals
    every = FACE_INSTRUCTIONS | DOOR_INSTRUCTIONS
    assert {code for code, found in every.items() if found is None} == SILENT


def test_attacks_look_like_unknown_faces() -> None:
    unknown = FACE_INSTRUCTIONS[Reason.BELOW_THRESHOLD]
    assert {FACE_INSTRUCTIONS[reason] for reason in ATTACKS} == {unknown}


def test_instructions_are_short() -> None:
    texts = {found.text for found in (FACE_INSTRUCTIONS | DOOR_INSTRUCTIONS).values() if found}
    languages = read_languages()
    for code, longest in TEXT_MAX.items():
        long = [text for text in texts if len(languages[code].gettext(text)) > longest]
        assert long == []


def test_missing_factors_have_instructions() -> None:
    texts = [
        find_wait(missing).text
        for missing in (["card"], ["pin"], ["card", "pin"], ["panel"], ["face"], [])
    ]
    assert len(set(texts)) == len(texts)
    assert texts[0] == "Present your card"


def test_unknown_codes_of_other_versions() -> None:
    assert find_prompt("of-a-newer-version") is None
    assert find_refusal("of-a-newer-version").text == "You have no access here"
