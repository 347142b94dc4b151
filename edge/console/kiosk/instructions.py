"""Instruction at the terminal's screen for each code of recogniser and door.

An instruction fits in three lines that are readable at two metres. Codes of attacks have the
same text as an unknown face: they teach an attacker nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from edge.access.reasons import Reason
from edge.access.rules.codes import RuleRefusal
from edge.codes import Code
from edge.console.translation import mark
from edge.door.events import CredentialRefusal, DoorRefusal
from edge.door.readers.panel_events import PanelVerdict


class InstructionKind(str, Enum):
    """What the person can do."""

    PROMPT = "prompt"  # follow the instruction; the decision goes on
    WAIT = "wait"  # complete the request: card, PIN or another person
    REFUSAL = "refusal"  # no access


@dataclass(frozen=True, slots=True)
class Instruction:
    """Text for the person in front of the screen, as the English message of the catalogues."""

    text: str
    kind: InstructionKind


def _prompt(text: str) -> Instruction:
    return Instruction(text, InstructionKind.PROMPT)


def _wait(text: str) -> Instruction:
    return Instruction(text, InstructionKind.WAIT)


def _refusal(text: str) -> Instruction:
    return Instruction(text, InstructionKind.REFUSAL)


LOOK = _prompt(mark("Look at the camera"))
PASS = mark("Please go through")
PRESENT_CARD = _wait(mark("Present your card"))
ENTER_PIN = _wait(mark("Enter your PIN"))
CARD_OR_PIN = _wait(mark("Present your card or enter your PIN"))
SECOND_PERSON = _wait(mark("Wait for a second person"))
PLEASE_WAIT = _wait(mark("Please wait"))
SHOW_FACE = _wait(mark("Show your face to the camera"))
_CLOSER = _prompt(mark("Come closer"))
_STILL = _prompt(mark("Hold still"))
_UNCOVER = _prompt(mark("Uncover your face"))
_AGAIN = _refusal(mark("Please try again"))
_UNKNOWN = _refusal(mark("Not recognised. Please try again"))
_OUT_OF_SERVICE = _refusal(mark("Out of service. Please ask the staff"))
_ASK = _refusal(mark("Please ask the staff"))
_NO_ACCESS = _refusal(mark("You have no access here"))
_TOO_MANY = _refusal(mark("Too many attempts. Please wait a minute"))

# None: the screen stays as it is.
FACE_INSTRUCTIONS: dict[Code, Instruction | None] = {
    Reason.MATCH: LOOK,
    Reason.MATCH_WITHOUT_MASK: LOOK,
    Reason.INSUFFICIENT_VOTES: LOOK,
    Reason.COOLDOWN: None,
    Reason.GALLERY_EMPTY: _UNKNOWN,
    Reason.BELOW_THRESHOLD: _UNKNOWN,
    Reason.AMBIGUOUS: _UNKNOWN,
    Reason.DECISION_TIMEOUT: _refusal(mark("Not recognised. Step back and try again")),
    Reason.SKIPPED: None,
    Reason.OUTSIDE_ZONE: None,
    Reason.TOO_SMALL: _CLOSER,
    Reason.NOT_NEAREST: None,
    Reason.OTHER_LANE: _prompt(mark("Step in front of one camera")),
    Reason.ONE_AT_A_TIME: _prompt(mark("One person at a time, please")),
    Reason.TOO_FAR: _CLOSER,
    Reason.OFF_CENTRE: _prompt(mark("Step into the middle")),
    Reason.TURNED_AWAY: LOOK,
    Reason.TOO_DARK: _prompt(mark("Too dark. Turn towards the light")),
    Reason.TOO_BRIGHT: _prompt(mark("Too bright. Turn away from the light")),
    Reason.BLURRED: _STILL,
    Reason.EYES_HIDDEN: _prompt(mark("Uncover your eyes")),
    Reason.ATTENTION_OFF_FACE: _UNCOVER,
    Reason.FACE_HIDDEN: _UNCOVER,
    Reason.LOWER_MASK: _prompt(mark("Lower your mask")),
    Reason.MASK_REQUIRED: _prompt(mark("Put on a mask")),
    Reason.MASK_FORBIDDEN: _prompt(mark("Take off your mask")),
    Reason.NOT_ENROLLED: _UNKNOWN,
    Reason.RIGHTS_NOT_MOVED: _OUT_OF_SERVICE,
    Reason.PRESENT_CARD: PRESENT_CARD,
    Reason.ENTER_PIN: ENTER_PIN,
    Reason.CARD_OR_PIN: CARD_OR_PIN,
    Reason.SECOND_PERSON: SECOND_PERSON,
    Reason.PANEL_DECIDES: PLEASE_WAIT,
    Reason.TOO_MANY_ATTEMPTS: _TOO_MANY,
    Reason.GALLERY_UNREADABLE: _OUT_OF_SERVICE,
    Reason.GALLERY_KEY_CHANGED: _OUT_OF_SERVICE,
    Reason.CHECKING: _STILL,
    Reason.MOVE: _prompt(mark("Move your head a little")),
    Reason.LOOK_STRAIGHT: _prompt(mark("Look straight at the camera")),
    Reason.TURN_LEFT: _prompt(mark("Turn your head to your left")),
    Reason.TURN_RIGHT: _prompt(mark("Turn your head to your right")),
    Reason.COME_CLOSER: _CLOSER,
    Reason.FROZEN: _UNKNOWN,
    Reason.NO_MOTION: _UNKNOWN,
    Reason.SCREEN: _UNKNOWN,
    Reason.NOT_LIVING: _UNKNOWN,
    Reason.WRONG_RESPONSE: _UNKNOWN,
    Reason.NO_RESPONSE: _UNKNOWN,
}

DOOR_INSTRUCTIONS: dict[Code, Instruction | None] = {
    DoorRefusal.STALE: _AGAIN,
    DoorRefusal.REPLAYED: _AGAIN,
    DoorRefusal.TAMPER: _OUT_OF_SERVICE,
    DoorRefusal.LOCKDOWN: _refusal(mark("The door is closed to everyone")),
    DoorRefusal.SCHEDULE: _refusal(mark("The door is closed at this time")),
    DoorRefusal.MAX_UNLOCK_EXCEEDED: _refusal(mark("Wait until the door has locked")),
    DoorRefusal.NOT_RECORDED: _OUT_OF_SERVICE,
    DoorRefusal.ZONES_BUSY: _AGAIN,
    DoorRefusal.CLAIM_ENDED: _refusal(mark("Too late. Present your card or PIN again")),
    DoorRefusal.OTHER_DOOR: _OUT_OF_SERVICE,
    DoorRefusal.FIRE_INPUT_ACTIVE: None,  # refusals of commands of operators
    DoorRefusal.CASE_OPEN: None,
    DoorRefusal.PEOPLE_UNREADABLE: _OUT_OF_SERVICE,
    DoorRefusal.NO_PANEL_CARD: _ASK,
    DoorRefusal.PANEL_CARD_INVALID: _ASK,
    DoorRefusal.PANEL_OFFLINE: _OUT_OF_SERVICE,
    DoorRefusal.PANEL_BUSY: _AGAIN,
    DoorRefusal.SUPPRESSED: None,
    RuleRefusal.UNKNOWN_LANE: _OUT_OF_SERVICE,
    RuleRefusal.OTHER_PERSON: _refusal(mark("Wait a moment, then start again")),
    RuleRefusal.FALLBACK_NOT_ALLOWED: _refusal(mark("Card or PIN alone is not accepted now")),
    RuleRefusal.NOT_IN_GROUP: _NO_ACCESS,
    RuleRefusal.CLOCK_UNTRUSTED: _ASK,
    RuleRefusal.NOT_VALID_TODAY: _refusal(mark("Your access is not valid today")),
    RuleRefusal.USED_UP: _refusal(mark("Your visits are used up")),
    RuleRefusal.STATE_UNKNOWN: _ASK,
    RuleRefusal.PASSAGE_PENDING: _refusal(mark("Go through the door that opened for you")),
    RuleRefusal.ALREADY_INSIDE: _refusal(mark("You have entered already")),
    RuleRefusal.NOT_INSIDE: _refusal(mark("You have not entered here")),
    RuleRefusal.NOT_IN_TWO_PEOPLE_GROUP: _refusal(mark("Another person must come first")),
    RuleRefusal.ZONE_FULL: _refusal(mark("Full. Wait until a person leaves")),
    RuleRefusal.INTERLOCK: _refusal(mark("Close the other door first")),
    CredentialRefusal.UNKNOWN_CARD: _refusal(mark("The card is not accepted")),
    CredentialRefusal.WRONG_PIN: _refusal(mark("The PIN is wrong")),
    CredentialRefusal.PIN_NOT_CHECKED: _refusal(mark("Enter your PIN again")),
    CredentialRefusal.READER_LOCKED: _TOO_MANY,
    CredentialRefusal.PERSON_LOCKED: _TOO_MANY,
    CredentialRefusal.CARD_IN_USE: None,  # an operator learns a card
    CredentialRefusal.MALFORMED: _refusal(mark("Not read. Present your card again")),
    PanelVerdict.GRANTED: None,
    PanelVerdict.REFUSED: _NO_ACCESS,
    PanelVerdict.NO_ANSWER: _OUT_OF_SERVICE,
    PanelVerdict.SENT: None,
}


def find_wait(missing: Iterable[str]) -> Instruction:
    """Return the instruction for the factors that a request needs; none: a second person."""
    factors = set(missing)
    if "panel" in factors:
        return PLEASE_WAIT
    if {"card", "pin"} <= factors:
        return CARD_OR_PIN
    if "card" in factors:
        return PRESENT_CARD
    if "pin" in factors:
        return ENTER_PIN
    return SHOW_FACE if "face" in factors else SECOND_PERSON


def find_instruction(
    instructions: Mapping[Code, Instruction | None], code: object
) -> Instruction | None:
    """Return the instruction for a code of another process, None if the screen stays as it is."""
    return next((found for known, found in instructions.items() if known == code), None)


def find_refusal(reason: str) -> Instruction:
    """Return the instruction for a refusal of the door, which may be of another version."""
    return find_instruction(DOOR_INSTRUCTIONS, reason) or _NO_ACCESS


def find_prompt(reason: str) -> Instruction | None:
    """Return the instruction for a reason of the recogniser, None if the screen stays as it is."""
    return find_instruction(FACE_INSTRUCTIONS, reason)
