"""Commands of the console to the doors."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.console.commands import CommandService, DoorCommand
from edge.console.context import Console
from edge.console.door_control import DoorControl
from edge.console.idempotency import IdempotencyStore

_COMMAND = DoorCommand("main", "lockdown", "a reason")
_TIMEOUT_S = 20.0


def test_readers_of_events_delay_no_command(console: Console, tmp_path: Path) -> None:
    doors = DoorControl({"main": tmp_path / "door.sock"})
    service = CommandService(doors, IdempotencyStore(console.accounts.database))
    ended = threading.Event()

    async def execute() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        reader = loop.run_in_executor(None, ended.wait)
        command = service.execute(_COMMAND, "ada", "key", 0.0)
        try:
            answer, _ = await asyncio.wait_for(command, _TIMEOUT_S)
        finally:
            ended.set()
            await reader
        return answer.status

    assert asyncio.run(execute()) == 503
    doors.close()
