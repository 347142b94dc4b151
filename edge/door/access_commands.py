"""Operator commands for the access rules: resets of zones, visits and lockouts."""

from __future__ import annotations

import re

from edge.config.lane import LABEL_PATTERN
from edge.door.card_learner import CardLearner
from edge.door.commands import AccessCommand
from edge.door.credential_lockout import CredentialLockout
from edge.door.credentials_file import PersonEntry
from edge.door.door import Door
from edge.door.lane_requests import LaneRequests
from edge.door.state_file import PendingSave
from edge.names import is_name, name_key
from edge.system.text import format_names

PEOPLE_MAX = 999_999  # of a zone
_OCCUPANCY = re.compile(rf"({LABEL_PATTERN})=([0-9]{{1,6}})")


# Commands with an argument that may be empty, and those of which the door has only the record.
_OPTIONAL = frozenset(
    {AccessCommand.RESET_ANTI_PASSBACK, AccessCommand.RESET_LOCKOUT, AccessCommand.FIND_CARD}
)
_ANNOUNCED = frozenset({AccessCommand.CHANGE_PEOPLE, AccessCommand.FIND_CARD})


class AccessCommands:
    """Checks and executes the commands."""

    def __init__(
        self,
        door: Door,
        access: LaneRequests,
        lockout: CredentialLockout,
        learner: CardLearner,
    ) -> None:
        self._door, self._access = door, access
        self._lockout, self._learner = lockout, learner

    def find_flaw(self, command: AccessCommand, argument: str) -> str:
        """Return why a command cannot be executed; empty if it can."""
        if command is AccessCommand.SET_ZONE:
            return self._find_zone_flaw(argument)
        if command is AccessCommand.LEARN_CARD:
            return self._learner.find_flaw(argument)
        if not argument:
            return "" if command in _OPTIONAL else "expected the name of a person, found none"
        if not is_name(argument):
            return f"expected a name of printable characters, found {argument!r}"
        if command is AccessCommand.ERASE_PERSON:
            is_removed = self._find(argument) is None
            return "" if is_removed else f"{argument!r} is a person of this door; remove it first"
        if self._is_known(command, argument):
            return ""
        if command is AccessCommand.RESET_LOCKOUT:
            readers = format_names(self._door.settings.access.reader_lanes)
            return f"{argument!r} is not a reader or person of this door; readers: {readers}"
        return f"{argument!r} is not a person of this door; see edge-door person list"

    def _is_known(self, command: AccessCommand, name: str) -> bool:
        """Return True if a name is that of a person, or of a reader whose lockout may end."""
        if self._find(name) is not None or command in _ANNOUNCED:
            return True
        if command is AccessCommand.RESET_ANTI_PASSBACK:
            return self._door.access.has_person(name_key(name))
        readers = self._door.settings.access.reader_lanes
        return command is AccessCommand.RESET_LOCKOUT and name in readers

    def execute(self, command: AccessCommand, argument: str) -> PendingSave | None:
        """Execute a command that `find_flaw` accepts; return the save to wait for, None if none."""
        access, name = self._door.access, name_key(argument)
        if command is AccessCommand.RESET_ANTI_PASSBACK:
            return access.reset_person(name) if name else access.reset_all()
        if command is AccessCommand.RESET_USES:
            return access.reset_uses(name)
        if command is AccessCommand.ERASE_PERSON:
            self._lockout.erase(argument)
            return access.erase_person(name)
        if command is AccessCommand.SET_ZONE:
            zone, _, people = argument.partition("=")
            return access.set_occupancy(zone, int(people))
        if command is AccessCommand.LEARN_CARD:
            self._learner.start(argument)
        if command is AccessCommand.RESET_LOCKOUT:
            return self._lockout.reset(argument or None)
        return None

    def _find(self, name: str) -> PersonEntry | None:
        return self._access.credentials.find_person(name)

    def _find_zone_flaw(self, argument: str) -> str:
        found = _OCCUPANCY.fullmatch(argument)
        if found is None:
            return f"expected a zone and a number of people such as lab=3, found {argument!r}"
        zones = self._door.access.zones
        if found[1] in zones:
            return ""
        known = ", ".join(zones) or "none"
        return f"the zone {found[1]} is not in `access.zones`; known: {known}"
