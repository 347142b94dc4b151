"""LEDs and buzzers that show the state of the door. Times are monotonic seconds."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edge.config.signals import PatternName, SignalConfig
from edge.door.relay import RelayOutput, open_relay
from edge.errors import DoorError

log = logging.getLogger(__name__)

REFUSED_S = 2.0  # for which a refusal is shown
GRANTED_S = 2.0  # for which a grant of a panel is shown, whose relay is not known here


class SignalState(str, Enum):
    """State that signals show; each is the key of its pattern in `door.signals`."""

    ALARM = "alarm"
    GRANTED = "granted"
    REFUSED = "refused"
    WAITING = "waiting"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class SignalPattern:
    """Output that is on for `on_s` seconds, then off for `off_s`, `repeats` times."""

    on_s: float
    off_s: float
    repeats: float

    def is_on(self, elapsed_s: float) -> bool:
        """Return the level at a time after the state began."""
        cycles, within_s = divmod(elapsed_s, self.on_s + self.off_s)
        return cycles < self.repeats and within_s < self.on_s

    def next_change_s(self, elapsed_s: float) -> float:
        """Return for how long the level stays as it is."""
        cycles, within_s = divmod(elapsed_s, self.on_s + self.off_s)
        if cycles >= self.repeats:
            return math.inf
        return (self.on_s if within_s < self.on_s else self.on_s + self.off_s) - within_s


# Described in docs/wiring.md.
PATTERNS: Mapping[PatternName, SignalPattern] = {
    "off": SignalPattern(1.0, 0.0, 0),
    "on": SignalPattern(1.0, 0.0, math.inf),
    "blink": SignalPattern(0.5, 0.5, math.inf),
    "fast-blink": SignalPattern(0.125, 0.125, math.inf),
    "beep": SignalPattern(0.25, 0.125, 1),
    "two-beeps": SignalPattern(0.125, 0.125, 2),
    "three-beeps": SignalPattern(0.125, 0.125, 3),
}


class SignalOutput:
    """One LED or buzzer. A failure is logged once and ends only its own use."""

    def __init__(self, output: RelayOutput, patterns: Mapping[SignalState, PatternName]) -> None:
        self._output, self._patterns = output, patterns
        self._is_on = self._has_failed = False

    def update(self, state: SignalState, elapsed_s: float) -> None:
        """Switch the output to its level at a time after a state began."""
        is_on = PATTERNS[self._patterns[state]].is_on(elapsed_s)
        if self._has_failed or is_on == self._is_on:
            return
        self._is_on = is_on
        try:
            if is_on:
                self._output.energise()
            else:
                self._output.deenergise()
        except DoorError as error:
            self._has_failed = True
            log.error("a signal is not used until a restart: %s", error)

    def next_change_s(self, state: SignalState, elapsed_s: float) -> float:
        """Return for how long the level stays as it is."""
        if self._has_failed:
            return math.inf
        return PATTERNS[self._patterns[state]].next_change_s(elapsed_s)

    def close(self) -> None:
        try:
            self._output.close()
        except DoorError as error:
            log.error("a signal could not be switched off: %s", error)


class DoorSignals:
    """State of the requests at a door, shown by all its signals."""

    def __init__(self, outputs: Sequence[SignalOutput]) -> None:
        self._outputs = outputs
        self._state, self._since = SignalState.IDLE, 0.0
        self._until = dict.fromkeys(SignalState, -math.inf)

    def note(self, state: SignalState, until: float) -> None:
        """Show the answer to a request until a time, instead of the previous answer."""
        for each in (SignalState.GRANTED, SignalState.REFUSED, SignalState.WAITING):
            self._until[each] = until if each is state else -math.inf

    def update(self, now: float, *, is_unlocked: bool, is_alarm: bool) -> None:
        """Switch the signals to the present state of the door; never waits and never raises."""
        if not self._outputs:
            return
        if is_unlocked:
            self._until[SignalState.WAITING] = -math.inf
        state = self._find_state(now, is_unlocked=is_unlocked, is_alarm=is_alarm)
        if state is not self._state:
            self._state, self._since = state, now
        for output in self._outputs:
            output.update(state, now - self._since)

    def wait_s(self, now: float) -> float:
        """Return for how many seconds no update is needed because of a pattern."""
        elapsed_s = now - self._since
        return min(
            (one.next_change_s(self._state, elapsed_s) for one in self._outputs), default=math.inf
        )

    def _find_state(self, now: float, *, is_unlocked: bool, is_alarm: bool) -> SignalState:
        if is_alarm:
            return SignalState.ALARM
        if is_unlocked:
            return SignalState.GRANTED
        return next(
            (state for state, until in self._until.items() if now < until), SignalState.IDLE
        )


def open_signals(configs: Sequence[SignalConfig]) -> tuple[SignalOutput, ...]:
    """Open the signals of a configuration, switched off. Raises DoorError."""
    opened: list[SignalOutput] = []
    try:
        for config in configs:
            patterns = {state: getattr(config, state.value) for state in SignalState}
            opened.append(SignalOutput(open_relay(config.output), patterns))
    except BaseException:
        for signal in opened:
            signal.close()
        raise
    return tuple(opened)
