"""Contract of every relay backend: de-energised means locked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from edge.config.relay import FileRelayConfig, GpioRelayConfig, SimulatedRelayConfig
from edge.door.file_backend import FileRelayOutput as FileRelayOutput
from edge.door.gpio_backend import GpioInputLine, GpioRelayOutput, open_pin_factory
from edge.door.relay import RelayOutput, open_relay
from edge.errors import DoorError


class Wired:
    """Relay with a function that reads its output."""

    def __init__(self, relay: RelayOutput, energised: Callable[[], bool]) -> None:
        self.relay = relay
        self.energised = energised


def simulated() -> Wired:
    from edge.door.simulated_backend import SimulatedRelayOutput as Simulated

    relay = Simulated()
    return Wired(relay, lambda: relay.energised)


def mock(active_high: bool) -> Wired:
    factory = MockFactory()
    pin = factory.pin(17)
    relay = GpioRelayOutput(17, active_high=active_high, factory=factory)
    return Wired(relay, lambda: pin.function == "output" and bool(pin.state) is active_high)


def file(folder: Path) -> Wired:
    path = folder / "relay"
    path.write_text("1\n")  # left by a process that was killed
    return Wired(FileRelayOutput(path), lambda: path.read_text() == "1\n")


def real() -> Wired:
    """MFSA_TEST_PINS is `factory:output:input`, such as `jetson:BOARD7:BOARD13`, pins connected."""
    if "MFSA_TEST_PINS" not in os.environ:
        pytest.skip("MFSA_TEST_PINS names no pins that are wired for this")
    name, output, back = os.environ["MFSA_TEST_PINS"].split(":")
    line = GpioInputLine(back, active_high=True, pull="external", factory=open_pin_factory(name))
    return Wired(
        GpioRelayOutput(output, active_high=True, factory=open_pin_factory(name)), line.is_active
    )


KINDS: dict[str, Callable[[Path], Wired]] = {
    "simulated": lambda folder: simulated(),
    "active high": lambda folder: mock(True),
    "active low": lambda folder: mock(False),
    "file": file,
    "real": lambda folder: real(),
}


@pytest.fixture(
    params=[
        pytest.param(kind, marks=pytest.mark.hardware) if kind == "real" else kind for kind in KINDS
    ]
)
def wired(request: pytest.FixtureRequest, tmp_path: Path) -> Wired:
    return KINDS[request.param](tmp_path)


def test_relay_starts_deenergised(wired: Wired) -> None:
    assert not wired.energised()


def test_relay_switches_both_ways(wired: Wired) -> None:
    for _ in range(2):
        wired.relay.energise()
        assert wired.energised()
    for _ in range(2):
        wired.relay.deenergise()
        assert not wired.energised()


def test_close_locks(wired: Wired) -> None:
    wired.relay.energise()
    wired.relay.close()
    assert not wired.energised()


def test_relay_backend_follows_config(tmp_path: Path) -> None:
    assert type(open_relay(SimulatedRelayConfig())).__name__ == "SimulatedRelayOutput"
    relay = open_relay(GpioRelayConfig(kind="gpio", pin=17, factory="mock"))
    assert isinstance(relay, GpioRelayOutput)
    relay.close()
    relay = open_relay(FileRelayConfig(kind="file", path=tmp_path / "relay"))
    assert isinstance(relay, FileRelayOutput)
    relay.close()
    relay.close()
    with pytest.raises(DoorError, match="check the folder and its rights"):
        FileRelayOutput(tmp_path / "none" / "relay")


def test_unusable_pin_or_factory_is_refused() -> None:
    with pytest.raises(DoorError, match="relay pin 'NOPIN' cannot be used"):
        GpioRelayOutput("NOPIN", active_high=True, factory=MockFactory())
    with pytest.raises(DoorError, match="bin/pip install lgpio"):
        open_pin_factory("lgpio")
