"""Pin factory of a Jetson with a substitute for lgpio that keeps its state, like a kernel."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from edge.door.gpio_backend import (
    GpioInputLine,
    GpioRelayOutput,
    check_pins,
    open_pin_factory,
)
from edge.errors import DoorError

ORIN_NANO = b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0"


class Lines:
    """Levels and directions by chip and line; they survive a process, as in a kernel."""

    def __init__(self) -> None:
        self.labels = {0: "tegra234-gpio-aon", 1: "tegra234-gpio"}
        self.levels: dict[int, int] = {}
        self.outputs: set[int] = set()
        self.users: dict[int, str] = {}

    def module(self) -> ModuleType:
        lgpio = ModuleType("lgpio")

        def opened(chip: int) -> int:
            if chip not in self.labels:
                raise OSError("can not open gpiochip")
            return chip

        def output(handle: int, line: int, level: int = 0, flags: int = 0) -> None:
            self.outputs.add(line)
            self.levels[line] = level

        def write(handle: int, line: int, level: int) -> None:
            assert line in self.outputs and handle == 1
            self.levels[line] = int(level)

        members = {
            "SET_PULL_NONE": 0, "SET_PULL_UP": 32, "SET_PULL_DOWN": 64,
            "BOTH_EDGES": 3, "RISING_EDGE": 1, "FALLING_EDGE": 2,
            "error": OSError, "gpiochip_open": opened, "gpiochip_close": lambda handle: None,
            "gpio_get_chip_info": lambda handle: [0, 164, f"gpiochip{handle}", self.labels[handle]],
            "gpio_get_line_info": lambda handle, line: [
                0, line, int(line in self.users), "", self.users.get(line, ""),
            ],
            "gpio_claim_input": lambda handle, line, flags=0: self.outputs.discard(line),
            "gpio_claim_output": output, "gpio_write": write,
            "gpio_free": lambda handle, line: None,
            "gpio_read": lambda handle, line: self.levels.get(line, 0),
            "gpio_get_mode": lambda handle, line: 2 if line in self.outputs else 0,
            "gpio_set_debounce_micros": lambda handle, line, micros: None,
            "gpio_claim_alert": lambda handle, line, edges, flags: None,
            "callback": lambda handle, line, edges, call: SimpleNamespace(cancel=lambda: None),
        }  # fmt: skip
        for name, member in members.items():
            setattr(lgpio, name, member)
        return lgpio


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """Substitute of an Orin Nano."""
    lines = Lines()
    monkeypatch.setitem(sys.modules, "lgpio", lines.module())
    modules = ("gpiozero.pins.lgpio", "edge.door.jetson", "edge.door.lgpio_lines")
    for name in modules:
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "compatible").write_bytes(ORIN_NANO)
    module = importlib.import_module("edge.door.jetson")
    yield SimpleNamespace(lines=lines, module=module, compatible=tmp_path / "compatible")
    for name in modules:
        sys.modules.pop(name, None)


def factory(jetson: SimpleNamespace) -> Any:
    return jetson.module.JetsonFactory(jetson.compatible)


def test_header_pins_map_to_gpio_lines(jetson: SimpleNamespace) -> None:
    made = factory(jetson)
    assert made.chip == 1  # found by its label, not its number
    relay = GpioRelayOutput("BOARD7", active_high=True, factory=made)
    assert (
        jetson.lines.outputs == {144} and jetson.lines.levels[144] == 0
    )  # inactive from the start
    relay.energise()
    assert jetson.lines.levels[144] == 1
    relay.deenergise()
    assert jetson.lines.levels[144] == 0
    relay.energise()
    relay.close()
    assert (
        jetson.lines.levels[144] == 0 and not jetson.lines.outputs
    )  # an input again: external resistors hold the level


def test_active_low_relay_is_high_when_locked(jetson: SimpleNamespace) -> None:
    relay = GpioRelayOutput("BOARD11", active_high=False, factory=factory(jetson))
    assert jetson.lines.levels[112] == 1
    relay.energise()
    assert jetson.lines.levels[112] == 0
    relay.close()
    assert jetson.lines.levels[112] == 1


def test_inputs_are_read_as_levels(jetson: SimpleNamespace) -> None:
    line = GpioInputLine("BOARD13", active_high=False, pull="external", factory=factory(jetson))
    jetson.lines.levels[122] = 1
    assert not line.is_active()
    jetson.lines.levels[122] = 0
    assert line.is_active()
    line.close()


def test_safe_state_after_kill_deenergises(jetson: SimpleNamespace) -> None:
    killed = GpioRelayOutput("BOARD7", active_high=True, factory=factory(jetson))
    killed.energise()
    del killed
    jetson.lines.levels[144] = 1  # without close the line keeps its level
    GpioRelayOutput("BOARD7", active_high=True, factory=factory(jetson)).close()
    assert jetson.lines.levels[144] == 0


def test_unmapped_pins_are_refused(jetson: SimpleNamespace) -> None:
    for pin in ("BOARD1", "BOARD3", 17):
        with pytest.raises(DoorError, match="cannot be used"):
            GpioRelayOutput(pin, active_high=True, factory=factory(jetson))


def test_check_of_pins_claims_none(
    jetson: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = jetson.module.JetsonFactory
    monkeypatch.setattr(jetson.module, "JetsonFactory", lambda: made(jetson.compatible))
    pins = {"door.relay": "BOARD7", "door.alarm": "BOARD11"}
    check_pins("jetson", pins, are_free=True)
    jetson.lines.users[112] = "leds"
    with pytest.raises(DoorError, match="pin BOARD11 is in use by leds"):
        check_pins("jetson", pins, are_free=True)
    check_pins("jetson", pins, are_free=False)
    with pytest.raises(DoorError, match="this board has no pin 'BOARD1' for jetson"):
        check_pins("jetson", {"door.relay": "BOARD1"}, are_free=True)
    assert not jetson.lines.outputs and not jetson.lines.levels


def test_module_is_known_by_device_tree(jetson: SimpleNamespace) -> None:
    for tree, name in (
        (ORIN_NANO, "Jetson Orin NX or Nano"),
        (b"nvidia,p3737-0000+p3701-0005\0", "Jetson AGX Orin"),
        (b"nvidia,p3509-0000+p3668-0001\0", "Jetson Xavier NX"),
    ):
        jetson.compatible.write_bytes(tree)
        module = jetson.module.detect_module(jetson.compatible)
        assert module.name == name and len(set(module.lines.values())) == len(module.lines)
    jetson.compatible.write_bytes(b"raspberrypi,4-model-b\0")
    with pytest.raises(DoorError, match="found in the device tree: raspberrypi,4-model-b"):
        factory(jetson)
    jetson.compatible.unlink()
    with pytest.raises(DoorError, match="not a Jetson"):
        factory(jetson)


def test_unopenable_gpio_controller_is_reported(jetson: SimpleNamespace) -> None:
    jetson.lines.labels = {0: "tegra234-gpio-aon"}
    with pytest.raises(DoorError, match="GPIO controller tegra234-gpio cannot be opened"):
        factory(jetson)


def test_gpiozero_finds_factory_by_entry_point() -> None:
    from importlib.metadata import entry_points

    found = {point.name: point.value for point in entry_points(group="gpiozero_pin_factories")}
    assert found["jetson"] == "edge.door.jetson:JetsonFactory"


def test_jetson_factory_elsewhere_is_refused() -> None:
    with pytest.raises(DoorError, match="pin factory 'jetson': lgpio cannot be loaded"):
        open_pin_factory("jetson")
