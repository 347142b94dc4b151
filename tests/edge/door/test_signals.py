"""Patterns of LEDs and buzzers, and what they show at a door, with a simulated clock."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config import load_config
from edge.config.door import DoorConfig
from edge.config.relay import FileRelayConfig
from edge.config.signals import BuzzerConfig, LedConfig
from edge.door.client import DoorClient
from edge.door.hardware import (
    DoorHardware,
    configured_outputs,
    deenergise_outputs,
    open_hardware,
)
from edge.door.signals import (
    PATTERNS,
    DoorSignals,
    SignalOutput,
    SignalState,
    open_signals,
)
from edge.door.simulated_backend import SimulatedRelayOutput
from edge.errors import DoorError
from tests.doors import CLOCK, TIMEOUT_S, RunningDoor, grant, until
from tests.lanes import ADAS_CARD, NO_CARD, LaneDoor, make_people

PAGE = Path(__file__).resolve().parents[3] / "docs" / "wiring.md"
STEP_S = 1 / 64


def played(signals: DoorSignals, output: SimulatedRelayOutput, seconds: float) -> list[float]:
    """Return the times of the changes of an output while the simulated clock runs."""
    began, now, changes, level = 0.0, 0.0, [], output.energised
    while now - began < seconds:
        signals.update(now, is_unlocked=False, is_alarm=True)
        if output.energised != level:
            level = output.energised
            changes.append(now)
        now += STEP_S
    return changes


def one_signal(**patterns: str) -> tuple[DoorSignals, SimulatedRelayOutput]:
    """Return signals with one output, and the output; patterns not named are `off`."""
    output = SimulatedRelayOutput(lambda: 0.0)
    shown: Any = {state: patterns.get(state.value, "off") for state in SignalState}
    return DoorSignals([SignalOutput(output, shown)]), output


@pytest.mark.parametrize(
    ("pattern", "changes"),
    [
        ("off", []),
        ("on", [0.0]),
        ("blink", [0.0, 0.5, 1.0, 1.5]),
        ("fast-blink", [step / 8 for step in range(16)]),
        ("beep", [0.0, 0.25]),
        ("two-beeps", [0.0, 0.125, 0.25, 0.375]),
        ("three-beeps", [0.0, 0.125, 0.25, 0.375, 0.5, 0.625]),
    ],
)
def test_pattern_switches_at_its_times(pattern: str, changes: list[float]) -> None:
    assert played(*one_signal(alarm=pattern), seconds=2.0) == changes


@pytest.mark.parametrize("pattern", PATTERNS)
def test_wait_ends_at_the_next_change(pattern: str) -> None:
    signals, output = one_signal(alarm=pattern)
    now = 0.0
    for _ in range(12):
        signals.update(now, is_unlocked=False, is_alarm=True)
        level, wait_s = output.energised, signals.wait_s(now)
        if math.isinf(wait_s):
            assert not level
            return
        signals.update(now + wait_s - 0.001, is_unlocked=False, is_alarm=True)
        assert output.energised is level and wait_s > 0
        now += wait_s


def test_alarm_and_unlocked_door_come_first() -> None:
    signals, output = one_signal(alarm="on", refused="on")
    signals.note(SignalState.REFUSED, until=2.0)
    levels = []
    for is_unlocked, is_alarm in ((False, False), (True, False), (True, True)):
        signals.update(1.0, is_unlocked=is_unlocked, is_alarm=is_alarm)
        levels.append(output.energised)
    assert levels == [True, False, True]


def test_refusal_ends_after_its_time() -> None:
    signals, output = one_signal(refused="on")
    signals.note(SignalState.REFUSED, until=2.0)
    for now, is_on in ((1.0, True), (1.99, True), (2.0, False)):
        signals.update(now, is_unlocked=False, is_alarm=False)
        assert output.energised is is_on


def test_next_answer_ends_the_one_before() -> None:
    signals, output = one_signal(waiting="on")
    signals.note(SignalState.WAITING, until=20.0)
    signals.update(1.0, is_unlocked=False, is_alarm=False)
    assert output.energised
    signals.note(SignalState.REFUSED, until=3.0)
    for now in (1.5, 4.0):
        signals.update(now, is_unlocked=False, is_alarm=False)
        assert not output.energised


def test_unlocked_door_ends_waiting() -> None:
    signals, output = one_signal(waiting="on")
    signals.note(SignalState.WAITING, until=20.0)
    for is_unlocked in (True, False):
        signals.update(1.0, is_unlocked=is_unlocked, is_alarm=False)
        assert not output.energised


class BrokenOutput(SimulatedRelayOutput):
    def energise(self) -> None:
        raise DoorError("the pin is gone")


def test_broken_signal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    output = BrokenOutput(lambda: 0.0)
    signals = DoorSignals([SignalOutput(output, dict.fromkeys(SignalState, "fast-blink"))])
    for step in range(10):
        signals.update(step / 16, is_unlocked=False, is_alarm=False)
    assert caplog.text.count("not used until a restart: the pin is gone") == 1
    assert math.isinf(signals.wait_s(1.0))


# ---------------------------------------------------------------- at a door


@pytest.fixture
def led() -> SimulatedRelayOutput:
    return SimulatedRelayOutput(CLOCK)


@pytest.fixture
def add_led(led: SimulatedRelayOutput) -> Callable[..., None]:
    """Gives a running door one LED, on in one state."""

    def add(door: RunningDoor, state: SignalState) -> None:
        door.pause()
        patterns: Any = {each: "on" if each is state else "off" for each in SignalState}
        door.service.door.signals = DoorSignals([SignalOutput(led, patterns)])
        door.resume()

    return add


@pytest.fixture
def door(tmp_path: Path) -> Iterator[RunningDoor]:
    running = RunningDoor(tmp_path)
    yield running
    running.stop()


def connect(door: RunningDoor) -> DoorClient:
    return DoorClient(door.path, timeout_s=TIMEOUT_S)


def test_grant_shows_granted_for_the_pulse(
    door: RunningDoor, led: SimulatedRelayOutput, add_led: Callable[..., None]
) -> None:
    add_led(door, SignalState.GRANTED)
    client = connect(door)
    assert client.grant(grant()) is None
    until(lambda: led.energised)
    until(lambda: not led.energised)
    client.close()


def test_old_grant_shows_refused(
    door: RunningDoor, led: SimulatedRelayOutput, add_led: Callable[..., None]
) -> None:
    add_led(door, SignalState.REFUSED)
    client = connect(door)
    assert client.grant(grant(age=5.0)) == "stale"
    until(lambda: led.energised)
    until(lambda: not led.energised)
    client.close()
    (on, _), (off, _) = led.history
    assert 1.9 <= off - on <= 3.0


@pytest.mark.parametrize(
    ("card", "state"), [(ADAS_CARD, SignalState.WAITING), (NO_CARD, SignalState.REFUSED)]
)
def test_card_shows_waiting_or_refused(
    tmp_path: Path,
    led: SimulatedRelayOutput,
    add_led: Callable[..., None],
    card: str,
    state: SignalState,
) -> None:
    make_people(tmp_path)
    lane = LaneDoor(tmp_path, {"mode": "card-and-face"})
    try:
        add_led(lane.door, state)
        lane.type(f"card {card}")
        until(lambda: led.energised)
        if state is SignalState.WAITING:
            assert lane.face("Ada") is None
        until(lambda: not led.energised)
    finally:
        lane.stop()


def test_silent_alarm_is_not_shown(
    door: RunningDoor, led: SimulatedRelayOutput, add_led: Callable[..., None]
) -> None:
    add_led(door, SignalState.ALARM)
    door.pause()
    door.service.door.controller.start_duress()
    door.service.step()
    assert "duress" in door.service.door.status()["alarms"] and not led.energised
    door.resume()


# ---------------------------------------------------------------- hardware


def make_config(tmp_path: Path) -> DoorConfig:
    output = FileRelayConfig(kind="file", path=tmp_path / "led")
    return DoorConfig(signals=(LedConfig(kind="led", output=output, idle="on"),))


def test_signal_is_off_after_close_and_kill(tmp_path: Path) -> None:
    config, led = make_config(tmp_path), tmp_path / "led"
    hardware = open_hardware(config)
    DoorSignals(hardware.signals).update(1.0, is_unlocked=False, is_alarm=False)
    assert led.read_text() == "1\n"
    hardware.close()
    assert led.read_text() == "0\n"
    led.write_text("1\n")  # as a killed process leaves it
    deenergise_outputs(configured_outputs(config))
    assert led.read_text() == "0\n"


def test_signal_that_cannot_close_locks_the_door(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Unclosable(SimulatedRelayOutput):
        def close(self) -> None:
            raise DoorError("the pin is gone")

    relay = SimulatedRelayOutput(CLOCK)
    relay.energise()
    signal = SignalOutput(Unclosable(CLOCK), dict.fromkeys(SignalState, "on"))
    with caplog.at_level(logging.ERROR):
        DoorHardware(relay, signals=(signal,)).close()
    assert not relay.energised and "could not be switched off" in caplog.text


def test_signals_close_if_one_cannot_open(tmp_path: Path) -> None:
    (first,) = make_config(tmp_path).signals
    missing = FileRelayConfig(kind="file", path=tmp_path / "none" / "led")
    with pytest.raises(DoorError, match="cannot be opened"):
        open_signals([first, BuzzerConfig(kind="buzzer", output=missing)])
    assert (tmp_path / "led").read_text() == "0\n"


def test_signals_of_the_page_are_valid(write_config: Callable[..., Path]) -> None:
    (block,) = re.findall(r"```yaml\n(door:\n  signals:.*?)```", PAGE.read_text(), re.DOTALL)
    path = write_config()
    path.write_text(path.read_text() + block, encoding="utf-8")
    signals = load_config(path).door.signals
    assert [signal.kind for signal in signals] == ["led", "led", "buzzer"]
    assert signals[0].granted == signals[1].idle == "on"


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_documented(name: str) -> None:
    assert f"| `{name}` |" in PAGE.read_text(encoding="utf-8")
