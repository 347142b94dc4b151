"""Operator commands of the console: executed once for each key, and recorded with the user."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from anyio import to_thread

from edge.console.door_control import DoorBusyError, DoorControl
from edge.console.idempotency import IdempotencyStore, StoredAnswer
from edge.door.commands import DOOR_COMMANDS, TARGET_COMMANDS, AccessCommand
from edge.door.events import describe_refusal
from edge.door.protocol import USER_MAX
from edge.errors import DoorError

NAMES = tuple(
    name for name in (*DOOR_COMMANDS, *TARGET_COMMANDS) if name != AccessCommand.ERASE_PERSON
)


@dataclass(frozen=True, slots=True)
class DoorCommand:
    """Command that a user sends to a door."""

    door: str
    command: str
    reason: str
    argument: str = ""  # person, reader or zone


class CommandService:
    """Sends commands of users to the doors.

    The threads of anyio are used, not those of asyncio: readers of events may occupy all of them.
    """

    def __init__(self, doors: DoorControl, keys: IdempotencyStore) -> None:
        self._doors, self._keys = doors, keys

    async def execute(
        self, command: DoorCommand, user: str, key: str, now: float
    ) -> tuple[StoredAnswer, bool]:
        """Return the answer, and True if it is that of an earlier request with the key.

        Raises ProblemError if the key cannot be used.
        """
        request = {
            "door": command.door,
            "command": command.command,
            "reason": command.reason,
            "argument": command.argument,
        }
        stored = await to_thread.run_sync(self._keys.begin, user, key, request, now)
        if stored is not None:
            return stored, True
        try:
            answer = await self._send(command, user)
        except DoorBusyError:
            await to_thread.run_sync(self._keys.forget, user, key)
            raise
        await to_thread.run_sync(self._keys.finish, user, key, answer)
        return answer, False

    async def _send(self, command: DoorCommand, user: str) -> StoredAnswer:
        try:
            result = await self._doors.command(
                command.door, command.command, command.reason, command.argument, user[:USER_MAX]
            )
        except DoorBusyError:
            raise
        except DoorError as error:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), None)
        if result.refusal is not None:
            detail = f"the door refused: {describe_refusal(result.refusal)}"
            code = result.refusal if " " not in result.refusal else None
            return _refused(HTTPStatus.CONFLICT, detail, code)
        return StoredAnswer(
            HTTPStatus.OK, {"command": command.command, "warning": result.warning or None}
        )


def _refused(status: HTTPStatus, detail: str, code: str | None) -> StoredAnswer:
    body: dict[str, Any] = {"title": status.phrase, "status": status.value, "detail": detail}
    return StoredAnswer(status, {**body, "code": code} if code else body)
