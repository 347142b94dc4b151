"""Asynchronous use of the door's sockets: one thread, status at most one second old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from edge.door.client import DoorClient
from edge.errors import DoorError

STATUS_MAX_AGE_S = 1.0
_TIMEOUT_S = 1.0  # a command waits up to 200 ms for the disk
_PENDING_MAX = 16  # calls that wait for the thread
_EXPECTED = frozenset(
    {"state", "reason", "relocks_in_s", "alarms", "records_lost", "clock", "inputs"}
)

_OTHER_STATUS = "the door process sent another status; run both from one installation"

_Result = TypeVar("_Result")


class DoorBusyError(DoorError):
    """Too many requests wait for the door."""


@dataclass(frozen=True, slots=True)
class DoorReport:
    """Answer of a door process, or why there is none."""

    fields: Mapping[str, Any]  # empty without an answer
    error: str
    at: float  # monotonic seconds

    @property
    def is_operator(self) -> bool:
        """True if the account of the console may send commands to this door."""
        return "access" in self.fields


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Answer to a command."""

    refusal: str | None  # code or text; None: done
    warning: str  # empty without one


@dataclass(slots=True, eq=False)
class _Door:
    client: DoorClient
    status: DoorReport | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class DoorControl:
    """Status and commands of the doors, by name."""

    def __init__(
        self, sockets: Mapping[str, Path], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._doors = {
            name: _Door(DoorClient(path, timeout_s=_TIMEOUT_S)) for name, path in sockets.items()
        }
        self._pending = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="door")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._doors)

    async def status(self, name: str) -> DoorReport:
        """Return the status of a door. Raises DoorBusyError."""
        door = self._doors[name]
        async with door.lock:  # requests at the same time share one answer
            known = door.status
            if known is None or self._clock() - known.at >= STATUS_MAX_AGE_S:
                known = door.status = await self._call(lambda: self._read_status(door))
            return known

    def known_status(self, name: str) -> DoorReport | None:
        """Return the newest status without a request to the door."""
        return self._doors[name].status

    async def command(
        self, name: str, command: str, reason: str, argument: str, user: str
    ) -> CommandResult:
        """Send a command of a user. Raises DoorError if the door does not answer."""
        door = self._doors[name]

        def send() -> CommandResult:
            refusal = door.client.command(command, reason, argument, user=user)
            return CommandResult(refusal, door.client.warning)

        try:
            return await self._call(send)
        finally:
            door.status = None

    def close(self) -> None:
        """Wait for the call in progress, then close the connections."""
        self._thread.shutdown(cancel_futures=True)
        for door in self._doors.values():
            door.client.close()

    async def _call(self, work: Callable[[], _Result]) -> _Result:
        if self._pending >= _PENDING_MAX:
            raise DoorBusyError("too many requests wait for the door process; try again")
        self._pending += 1
        try:
            # Shielded: a client that disconnects does not cancel a command that was sent.
            return await asyncio.shield(
                asyncio.get_running_loop().run_in_executor(self._thread, work)
            )
        finally:
            self._pending -= 1

    def _read_status(self, door: _Door) -> DoorReport:
        try:
            fields = door.client.status()
        except DoorError as error:
            return DoorReport({}, str(error), self._clock())
        if not fields.keys() >= _EXPECTED:
            return DoorReport({}, _OTHER_STATUS, self._clock())
        return DoorReport(fields, "", self._clock())
