"""Operator commands and their descriptions, for the command line and the console."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from edge.door.clock_trust import TRUST_CLOCK
from edge.door.controller import OperatorCommand


class AccessCommand(str, Enum):
    """Command of an operator with an argument."""

    RESET_ANTI_PASSBACK = "reset-anti-passback"  # argument: name, empty for all people
    RESET_USES = "reset-uses"  # argument: name
    ERASE_PERSON = "erase-person"  # argument: name of a person who was removed
    SET_ZONE = "set-zone"  # argument: ZONE=PEOPLE
    RESET_LOCKOUT = "reset-lockout"  # argument: reader or person, empty for all
    LEARN_CARD = "learn-card"  # argument: READER=NAME
    FIND_CARD = "find-card"  # argument: name of the holder, empty for none; announces the question
    CHANGE_PEOPLE = "change-people"  # argument: name; announces a change of the file

    @property
    def without_argument(self) -> str:
        """Target in the record of a command without an argument."""
        return "none" if self is AccessCommand.FIND_CARD else "all"


# Commands for the door as a whole, without an argument.
DOOR_COMMANDS: Mapping[str, str] = {
    OperatorCommand.UNLOCK.value: "unlock once, for one pulse",
    OperatorCommand.HOLD.value: "hold the door unlocked until it is released",
    OperatorCommand.LOCKDOWN.value: "unlock only for exit button and fire, until it is released",
    OperatorCommand.RELEASE.value: "end hold and lockdown",
    OperatorCommand.RESET_FIRE.value: "end the fire state once its input is inactive",
    OperatorCommand.RESET_TAMPER.value: "end the tamper alarm once the case is closed",
    OperatorCommand.RESET_DURESS.value: "end the silent alarm of a duress PIN",
    TRUST_CLOCK: "trust the clock as it is now, in both processes: you checked that it is right",
}
# Commands whose argument is a person, reader or zone.
TARGET_COMMANDS: Mapping[str, str] = {
    AccessCommand.RESET_ANTI_PASSBACK.value: (
        "allow the next passage of a person, or of all people, in either direction"
    ),
    AccessCommand.RESET_USES.value: "count the visits of a person from zero",
    AccessCommand.ERASE_PERSON.value: (
        "erase a person who was removed from zones and lockouts, if that failed at the removal"
    ),
    AccessCommand.RESET_LOCKOUT.value: (
        "end the lockout of a person or reader after wrong cards or PINs, or all lockouts"
    ),
    AccessCommand.SET_ZONE.value: (
        "set the number of people inside a zone, after you counted them"
    ),
}
