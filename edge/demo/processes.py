"""Commands that the demo runs as processes of their own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from edge.door.client import DoorClient
from edge.errors import DoorError, MfsaError

# Limits for processes that hang; generous, because a busy machine is slow.
START_S = 300.0
_STOP_S = 60.0
POLL_S = 0.05

Process = subprocess.Popen[bytes]


@contextlib.contextmanager
def process(module: str, *arguments: str) -> Iterator[Process]:
    """Run a command that is terminated at the end."""
    running = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()


def wait_until_ready(client: DoorClient, door: Process) -> None:
    """Wait until the door process answers. Raises DoorError if it ends or takes too long."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            client.status()
            return
        except DoorError:
            if door.poll() is not None or time.monotonic() > give_up:
                raise
            time.sleep(POLL_S)


def call(module: str, *arguments: str) -> None:
    """Run a command to its end. Raises MfsaError if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    check_exit_code(module, subprocess.run(command, check=False).returncode)


def check_exit_code(module: str, code: int) -> None:
    """Raise MfsaError for another exit code than 0."""
    if code:
        name = module.rsplit(".", 1)[1]
        raise MfsaError(f"{name} ended with exit code {code}; see the lines above")
