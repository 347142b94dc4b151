"""LEDs and buzzers of terminals without a screen."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.config.relay import RelayConfig
from edge.config.section import Section

PatternName = Literal["off", "on", "blink", "fast-blink", "beep", "two-beeps", "three-beeps"]

_Output = Annotated[
    RelayConfig,
    Field(
        title="Output",
        description="Pin of the signal, as for the relay. Energised: light or sound.",
        examples=["{kind: gpio, pin: BOARD29, factory: jetson}"],
    ),
]
_GRANTED = "Pattern while the door is unlocked, or a panel has granted access."
_REFUSED = "Pattern for two seconds after a face, card or PIN was refused."
_WAITING = "Pattern while another factor, a second person or a panel is awaited."
_ALARM = "Pattern during an alarm, which has priority over all others. A silent alarm is not shown."
_IDLE = "Pattern at all other times."


class LedConfig(Section):
    """An LED."""

    kind: Literal["led"]
    output: _Output
    granted: PatternName = Field("on", title="Granted", description=_GRANTED)
    refused: PatternName = Field("fast-blink", title="Refused", description=_REFUSED)
    waiting: PatternName = Field("blink", title="Waiting", description=_WAITING)
    alarm: PatternName = Field("fast-blink", title="Alarm", description=_ALARM)
    idle: PatternName = Field("off", title="Idle", description=_IDLE)


class BuzzerConfig(Section):
    """A buzzer that sounds by itself while it has power."""

    kind: Literal["buzzer"]
    output: _Output
    granted: PatternName = Field("beep", title="Granted", description=_GRANTED)
    refused: PatternName = Field("three-beeps", title="Refused", description=_REFUSED)
    waiting: PatternName = Field("two-beeps", title="Waiting", description=_WAITING)
    alarm: PatternName = Field("blink", title="Alarm", description=_ALARM)
    idle: PatternName = Field("off", title="Idle", description=_IDLE)


SignalConfig = Annotated[LedConfig | BuzzerConfig, Field(discriminator="kind")]
