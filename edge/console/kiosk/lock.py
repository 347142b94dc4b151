"""State of the lock on the kiosk's screen, from the status of the door."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.console.translation import mark
from edge.door.events import LockReason
from edge.errors import DoorError


@dataclass(frozen=True, slots=True)
class LockView:
    """State of the lock. Texts are English messages of the catalogues."""

    is_locked: bool
    text: str
    notice: str = ""  # on the idle screen, instead of the invitation


_LOCKED = mark("Door locked")
_UNLOCKED = mark("Door unlocked")
_NOTICES: dict[str, str] = {
    LockReason.FIRE: mark("Emergency: the door is open"),
    LockReason.HOLD: mark("The door is open"),
    LockReason.SCHEDULE_OPEN: mark("The door is open"),
    LockReason.LOCKDOWN: mark("The door is closed to everyone"),
    LockReason.SCHEDULE_LOCKED: mark("The door is closed at this time"),
}
UNKNOWN = mark("Door state unknown")
TEXTS = (_LOCKED, _UNLOCKED, UNKNOWN, *_NOTICES.values())


def read_lock(status: Mapping[str, Any] | None) -> LockView | None:
    """Return the state of the lock, None if the door does not answer."""
    if status is None:
        return None
    is_locked = status.get("state") != "unlocked"
    notice = _NOTICES.get(str(status.get("reason")), "")
    return LockView(is_locked, _LOCKED if is_locked else _UNLOCKED, notice)


class LockFollower:
    """Keeps the state of the lock. A door that answers late delays no picture."""

    def __init__(self, read_door: Callable[[], Awaitable[Mapping[str, Any] | None]]) -> None:
        self._read_door = read_door
        self._lock: LockView | None = None
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> LockView | None:
        """Return the newest state; only the first call waits for the door."""
        if self._task is None:
            self._task = asyncio.create_task(self._update())
            await self._task
        elif self._task.done():
            self._task = asyncio.create_task(self._update())
        return self._lock

    async def _update(self) -> None:
        try:
            self._lock = read_lock(await self._read_door())
        except DoorError:  # too many requests wait for the door
            self._lock = None
