"""Two `edge-door` processes of one terminal: simultaneous grants, and a kill of one of them."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edge.audit.reader import read_log
from edge.config import TerminalConfig, load_config
from edge.door.client import DoorClient
from edge.errors import DoorError
from edge.values import Grant
from tests.processes import TIMEOUT_S, Process, until
from tests.two_doors import INTERLOCK, ZONE

WriteConfig = Callable[..., Path]
DOOR, NAMES = "edge.cli.door", ("left", "right")
PEOPLE = [f"Person {number}" for number in range(25)]


class DoorProcess:
    """A door of the terminal, started by its own configuration file."""

    def __init__(self, path: Path, log: Path) -> None:
        self.config: TerminalConfig = load_config(path)
        self.process = Process(DOOR, "run", "--config", path, log=log)
        self._lane = f"{self.config.door.name}-in"

    def request(self, name: str) -> str | None:
        """Request a grant with a new connection."""
        client = DoorClient(self.config.socket_path, timeout_s=TIMEOUT_S)
        try:
            return client.grant(Grant(secrets.token_hex(8), name, 1, time.monotonic(), self._lane))
        finally:
            client.close()

    def is_locked(self) -> bool:
        client = DoorClient(self.config.socket_path, timeout_s=TIMEOUT_S)
        try:
            return bool(client.status()["state"] == "locked")
        except DoorError:
            return False
        finally:
            client.close()

    def unlocked(self) -> list[tuple[float, float]]:
        """Return the times from unlocking to locking, on the clock that all processes share."""
        found, since = [], 0.0
        for record in read_log(self.config.door_record_path):
            if record.get("event") == "unlocked":
                since = record["at"]
            elif record.get("event") == "relocked":
                found.append((since, record["at"]))
        return found


@contextmanager
def two_processes(
    write_config: WriteConfig, access: dict[str, Any]
) -> Iterator[tuple[DoorProcess, DoorProcess]]:
    """Run both doors."""
    base = write_config(access=access, door={"pulse_s": 0.5})
    with ExitStack() as stack:
        doors = []
        for name in NAMES:
            path = base.with_name(f"{name}.yaml")
            path.write_text(f"extends: {base.name}\ndoor: {{name: {name}}}\n")
            doors.append(DoorProcess(path, base.with_name(f"{name}.log")))
            stack.enter_context(doors[-1].process)
        for door in doors:
            until(door.is_locked, "the door answers")
        yield doors[0], doors[1]


def request_at_once(doors: tuple[DoorProcess, DoorProcess], names: tuple[str, str]) -> list[Any]:
    """Request a grant at both doors at the same time."""
    answers: list[Any] = ["no answer"] * 2
    start = threading.Barrier(2)

    def request(number: int) -> None:
        start.wait()
        answers[number] = doors[number].request(names[number])

    threads = [threading.Thread(target=request, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    return answers


def test_person_enters_once_at_the_same_moment(write_config: WriteConfig) -> None:
    zones = [{**ZONE["zones"][0], "max_people": len(PEOPLE) - 5}]
    with two_processes(write_config, {**ZONE, "zones": zones}) as doors:
        entered = set()
        for name in PEOPLE:
            answers = request_at_once(doors, (name, name))
            assert answers.count(None) <= 1, answers
            if None in answers:
                entered.add(name)
        assert len(entered) <= len(PEOPLE) - 5
        path = doors[0].config.zones_path

        def is_saved() -> bool:
            state = json.loads(path.read_text())
            return set(state["people"]["lab"]) == entered and state["counts"]["lab"] == len(entered)

        until(is_saved, "all passages are on disk")
        before = len(entered)
        doors[1].process.popen.kill()
        doors[1].process.popen.wait()
        until(lambda: doors[0].request("Last") in (None, "zone-full"), "the other one goes on")
        assert before >= 1


def test_interlocked_processes_never_unlock_both(write_config: WriteConfig) -> None:
    with two_processes(write_config, INTERLOCK) as doors:
        answers: list[Any] = []
        while answers.count(None) < 8:
            answers += request_at_once(doors, ("Ada", "Ben"))
            until(lambda: all(door.is_locked() for door in doors), "both lock")
        for door in doors:
            assert door.process.stop() == 0
        left, right = (door.unlocked() for door in doors)
        assert len(left) + len(right) >= 8 and "interlock" in answers
        overlaps = [
            (one, other)
            for one in left
            for other in right
            if one[0] < other[1] and other[0] < one[1]
        ]
        assert not overlaps
