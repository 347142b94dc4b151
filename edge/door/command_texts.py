"""Operator commands in words, for commands and pages."""

from __future__ import annotations

from collections.abc import Mapping

from edge.door.access_commands import AccessCommand
from edge.door.clock_trust import TRUST_CLOCK
from edge.door.controller import OperatorCommand

# Commands without an argument.
PLAIN: Mapping[str, str] = {
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
NAMED: Mapping[str, str] = {
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
