from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.door.client import DoorClient
from tests.doors import (
    PATIENCE_S,
    Terminal,
    Wires,
)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def client(terminal: Terminal) -> Iterator[DoorClient]:
    made = DoorClient(terminal.path, timeout_s=PATIENCE_S)
    yield made
    made.close()


@pytest.fixture
def wires(tmp_path: Path) -> Wires:
    return Wires(tmp_path)


@pytest.fixture
def wired(tmp_path: Path, wires: Wires) -> Iterator[Terminal]:
    made = Terminal(tmp_path, wires=wires)
    yield made
    made.stop()


@pytest.fixture
def operator(wired: Terminal) -> Iterator[DoorClient]:
    made = DoorClient(wired.path, timeout_s=PATIENCE_S)
    yield made
    made.close()
