"""Lock, wires and times of the door."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from edge.config.schedule import ScheduleConfig
from edge.config.section import ConfigPath, Section


def _pin(value: int | str) -> int | str:
    if isinstance(value, int) and not 0 <= value <= 512:
        raise ValueError("expected a line number from 0 to 512 or a name such as BOARD7")
    return value


class SimulatedRelayConfig(Section):
    kind: Literal["simulated"] = "simulated"


class GpioRelayConfig(Section):
    """A relay on a pin, by gpiozero."""

    kind: Literal["gpio"]
    pin: Annotated[int | str, AfterValidator(_pin)]
    active_high: bool = True
    factory: Literal["jetson", "lgpio", "native", "mock"] = Field(
        description="gpiozero's pin factory; mock moves nothing"
    )


class FileRelayConfig(Section):
    """A file that holds 1 while the lock's relay is energised, else 0, in place of a wire."""

    kind: Literal["file"]
    path: ConfigPath


RelayConfig = Annotated[
    SimulatedRelayConfig | FileRelayConfig | GpioRelayConfig, Field(discriminator="kind")
]


class FileInputConfig(Section):
    """A file with 1 or 0 in it, in place of a wire."""

    kind: Literal["file"]
    path: ConfigPath
    settle_ms: int = Field(0, ge=0, le=1000)


class GpioInputConfig(Section):
    """A wire to a pin, by gpiozero. External resistors hold its rest level: a Tegra ignores what software asks of pulls."""

    kind: Literal["gpio"]
    pin: Annotated[int | str, AfterValidator(_pin)]
    active_high: bool = Field(
        description="whether the wire is high when the contact is open, the button pressed, the fire there"
    )
    pull: Literal["up", "down", "external"] = "external"
    settle_ms: int = Field(
        30, ge=0, le=1000, description="a level counts once it has stayed so long"
    )
    factory: Literal["jetson", "lgpio", "native", "mock"]


_Wired = Annotated[FileInputConfig | GpioInputConfig, Field(discriminator="kind")]


class InputsConfig(Section):
    """What is wired to the door. The exit button and fire must open the lock by wire too: software only supplements it."""

    contact: _Wired | None = Field(None, description="active: the door stands open")
    rex: _Wired | None = Field(None, description="the button beside the door (REX)")
    fire: _Wired | None = None
    tamper: _Wired | None = Field(None, description="active: the terminal's case is open")


class DoorConfig(Section):
    relay: RelayConfig = SimulatedRelayConfig()
    alarm: RelayConfig | None = Field(
        None, description="a second relay: forced or held open, tamper"
    )
    inputs: InputsConfig = InputsConfig()
    pulse_s: float = Field(3.0, gt=0, le=60, description="how long one grant keeps the lock open")
    extended_pulse_s: float = Field(
        10.0, gt=0, le=120, description="for people who need longer; never shorter than `pulse_s`"
    )
    rex_pulse_s: float = Field(3.0, gt=0, le=60, description="how long the exit button opens")
    held_open_s: float = Field(
        30.0, gt=0, le=3600, description="a door that stands open longer is an alarm"
    )
    max_grant_unlock_s: float = Field(
        120.0,
        ge=120,
        le=3600,
        description="open so long by grants alone: an alarm, and nobody is let in until it has locked",
    )
    relock: Literal["timeout", "on_open", "on_close"] = Field(
        "timeout",
        description="when the lock closes again: after its time, or before it as soon as the contact says so",
    )
    schedule: ScheduleConfig = ScheduleConfig()
    state: ConfigPath | None = Field(
        None, description="folder of the door's record; default: the terminal's `state`"
    )
    socket: ConfigPath | None = Field(None, description="default: door.sock in that folder")
    clients: tuple[str, ...] = Field(
        (), description="accounts beside the door's own that may ask it to open"
    )
    operators: tuple[str, ...] = Field(
        (),
        description="accounts beside root and the door's own that may unlock, hold, lock down and reset",
    )
