from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.door.client import DoorClient
from tests.doors import (
    TIMEOUT_S,
    FileInputs,
    RunningDoor,
)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[RunningDoor]:
    made = RunningDoor(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(terminal: RunningDoor) -> Iterator[DoorClient]:
    made = DoorClient(terminal.path, timeout_s=TIMEOUT_S)
    yield made
    made.close()


@pytest.fixture
def wires(tmp_path: Path) -> FileInputs:
    return FileInputs(tmp_path)


@pytest.fixture
def wired(tmp_path: Path, wires: FileInputs) -> Iterator[RunningDoor]:
    made = RunningDoor(tmp_path, wires=wires)
    yield made
    made.stop()


@pytest.fixture
def operator(wired: RunningDoor) -> Iterator[DoorClient]:
    made = DoorClient(wired.path, timeout_s=TIMEOUT_S)
    yield made
    made.close()
