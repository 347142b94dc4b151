"""One suite for every relay: whatever drives the wire, rest is locked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gpiozero.pins.mock import MockFactory

from edge.config import GpioRelay, SimulatedRelay
from edge.door.gpio import GpioRelayOutput, open_factory
from edge.door.relay import Relay, open_relay
from edge.errors import DoorError


class Wired:
    """A relay with what a voltmeter on its wire would say."""

    def __init__(self, relay: Relay, energised: Callable[[], bool]) -> None:
        self.relay = relay
        self.energised = energised


def simulated() -> Wired:
    from edge.door.simulated import SimulatedRelay as Simulated

    relay = Simulated()
    return Wired(relay, lambda: relay.energised)


def mock(active_high: bool) -> Wired:
    factory = MockFactory()
    pin = factory.pin(17)
    relay = GpioRelayOutput(17, active_high=active_high, factory=factory)
    return Wired(relay, lambda: pin.function == "output" and bool(pin.state) is active_high)


@pytest.fixture(params=["simulated", "active high", "active low"])
def wired(request: pytest.FixtureRequest) -> Wired:
    return simulated() if request.param == "simulated" else mock(request.param == "active high")


def test_rest_is_locked(wired: Wired) -> None:
    assert not wired.energised()


def test_it_switches_both_ways_and_twice_is_once(wired: Wired) -> None:
    for _ in range(2):
        wired.relay.energise()
        assert wired.energised()
    for _ in range(2):
        wired.relay.release()
        assert not wired.energised()


def test_closing_locks(wired: Wired) -> None:
    wired.relay.energise()
    wired.relay.close()
    assert not wired.energised()


def test_the_choice_by_config() -> None:
    assert type(open_relay(SimulatedRelay())).__name__ == "SimulatedRelay"
    relay = open_relay(GpioRelay(kind="gpio", pin=17, factory="mock"))
    assert isinstance(relay, GpioRelayOutput)
    relay.close()


def test_pins_and_factories_that_do_not_work_are_refused() -> None:
    with pytest.raises(DoorError, match="relay pin 'NOPIN' cannot be used"):
        GpioRelayOutput("NOPIN", active_high=True, factory=MockFactory())
    with pytest.raises(DoorError, match="kind: simulated"):
        open_factory("lgpio")
