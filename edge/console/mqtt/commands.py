"""Commands from the broker: checked, then sent to the door."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import get_args

from edge.config.mqtt import MqttCommand
from edge.console.door_control import DoorControl
from edge.console.mqtt.messages import Message
from edge.door.events import describe_refusal
from edge.door.protocol import check_reason
from edge.errors import DoorError
from edge.system.strict_json import read_json

log = logging.getLogger(__name__)

USER = "mqtt"  # in the door's audit log, with the account of the console
_PAYLOAD_MAX = 4096  # bytes
_LOCK = "lock"  # sent by the lock of Home Assistant
_EXPECTED = 'expected a JSON object such as {"command": "unlock", "reason": "delivery"}'


@dataclass(frozen=True, slots=True)
class _ParsedCommand:
    command: str
    reason: str


class CommandReceiver:
    """Executes the commands that the configuration permits."""

    def __init__(self, doors: DoorControl, permitted: tuple[MqttCommand, ...]) -> None:
        self._doors, self._permitted = doors, permitted

    async def execute(self, door: str, payload: bytes, *, is_retained: bool) -> Message:
        """Execute a command; return the message that answers it."""
        request: _ParsedCommand | None = None
        try:
            if is_retained:
                raise DoorError(
                    "a retained command is refused: it may be old; send it without the retain flag"
                )
            request = _parse(payload)
            refusal = await self._send(door, request)
        except DoorError as error:
            refusal = str(error)
        command = request.command if request else None
        if refusal is not None:
            log.warning("door %s: command %s refused: %s", door, command, refusal)
        return {"command": command, "done": refusal is None, "refusal": refusal}

    async def _send(self, door: str, request: _ParsedCommand) -> str | None:
        """Return why the command was refused. Raises DoorError."""
        if request.command == _LOCK:
            return "the door locks by itself; release ends a hold"
        if request.command not in self._permitted:
            return f"{request.command} is not in `console.mqtt.commands`"
        result = await self._doors.command(door, request.command, request.reason, "", USER)
        return None if result.refusal is None else describe_refusal(result.refusal)


def _parse(payload: bytes) -> _ParsedCommand:
    """Return the command in a payload; raises DoorError."""
    if len(payload) > _PAYLOAD_MAX:
        raise DoorError(f"{_EXPECTED}, found {len(payload)} bytes")
    try:
        found = read_json(payload)
    except ValueError as error:
        raise DoorError(f"{_EXPECTED}: {error}") from error
    if not isinstance(found, dict) or found.keys() != {"command", "reason"}:
        raise DoorError(_EXPECTED)
    command, reason = found["command"], found["reason"]
    if not isinstance(reason, str) or command not in (*get_args(MqttCommand), _LOCK):
        raise DoorError(f"{_EXPECTED}; commands: {', '.join(get_args(MqttCommand))}")
    check_reason(reason)
    return _ParsedCommand(command, reason)
