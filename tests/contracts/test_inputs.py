"""Contract of every input backend: the configuration defines which level is active."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from edge.config.door import FileInputConfig, GpioInputConfig, InputsConfig
from edge.door.controller import InputKind
from edge.door.gpio_backend import GpioInputLine
from edge.door.inputs import DoorInputs, FileInputLine, InputLine, open_inputs
from edge.errors import DoorError


class Wired:
    """Input with a function that sets its level."""

    def __init__(self, line: InputLine, put: Callable[[bool], object]) -> None:
        self.line = line
        self.put = put


def by_file(folder: Path) -> Wired:
    path = folder / "level"
    return Wired(FileInputLine(path), lambda active: path.write_text("1\n" if active else "0\n"))


def by_pin(active_high: bool, pull: str) -> Wired:
    factory = MockFactory()
    pin = factory.pin(17)
    line = GpioInputLine(17, active_high=active_high, pull=pull, factory=factory)

    def put(active: bool) -> None:
        (pin.drive_high if active is active_high else pin.drive_low)()

    return Wired(line, put)


CASES = [
    "file",
    *(f"pin {high} {pull}" for high in ("high", "low") for pull in ("up", "down", "external")),
]


@pytest.fixture(params=CASES)
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Wired:
    if request.param == "file":
        return by_file(tmp_path)
    _, high, pull = request.param.split()
    return by_pin(high == "high", pull)


def test_level_follows_the_wire(wired: Wired) -> None:
    for active in (False, True, True, False, True):
        wired.put(active)
        assert wired.line.is_active() is active
    wired.line.close()


def test_settled_levels_come_once_fire_first(tmp_path: Path) -> None:
    contact, fire = by_file(tmp_path), by_pin(True, "down")
    inputs = DoorInputs(
        {InputKind.CONTACT: contact.line, InputKind.FIRE: fire.line},
        {InputKind.CONTACT: 0.0, InputKind.FIRE: 0.05},
    )
    contact.put(True)
    fire.put(True)
    assert inputs.read_changes(1.0) == [(InputKind.CONTACT, True)]
    assert inputs.read_changes(1.04) == []
    contact.put(False)
    assert inputs.read_changes(1.06) == [(InputKind.FIRE, True), (InputKind.CONTACT, False)]
    inputs.close()


def test_input_backend_follows_config(tmp_path: Path) -> None:
    config = InputsConfig(
        contact=FileInputConfig(kind="file", path=tmp_path / "c"),
        fire=GpioInputConfig(kind="gpio", pin=5, active_high=True, pull="down", factory="mock"),
    )
    inputs = open_inputs(config)
    assert len(inputs) == 2 and len(open_inputs(InputsConfig())) == 0
    inputs.close()


def test_unusable_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DoorError, match="input pin 'NOPIN' cannot be used"):
        GpioInputLine("NOPIN", active_high=True, pull="external", factory=MockFactory())
    (tmp_path / "folder").mkdir()
    with pytest.raises(DoorError, match="the input cannot be read"):
        FileInputLine(tmp_path / "folder").is_active()
