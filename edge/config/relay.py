"""Outputs of the door process: relays on pins, in files or simulated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from edge.config.section import ConfigPath, Section


def _pin(value: int | str) -> int | str:
    if isinstance(value, int) and not 0 <= value <= 512:
        raise ValueError("expected a line number from 0 to 512 or a name such as BOARD7")
    return value


Pin = Annotated[int | str, AfterValidator(_pin)]
PinFactory = Literal["jetson", "lgpio", "native", "mock"]


class SimulatedRelayConfig(Section):
    """A relay in memory: no lock moves."""

    kind: Literal["simulated"] = "simulated"


class GpioRelayConfig(Section):
    """A relay on a pin, driven by gpiozero."""

    kind: Literal["gpio"]
    pin: Pin = Field(
        title="Pin", description="Header pin such as BOARD7, or a line number.", examples=["BOARD7"]
    )
    active_high: bool = Field(
        True, title="Active level", description="true: a high level energises the relay."
    )
    factory: PinFactory = Field(
        title="Pin factory",
        description="gpiozero's pin factory: jetson, or lgpio on other boards. mock drives no pin.",
        examples=["jetson"],
    )


class FileRelayConfig(Section):
    """A file that holds 1 while the relay is energised, else 0; for tests and demos."""

    kind: Literal["file"]
    path: ConfigPath = Field(
        title="File", description="Path of the file.", examples=["/run/mfsa-door/relay"]
    )


RelayConfig = Annotated[
    SimulatedRelayConfig | FileRelayConfig | GpioRelayConfig, Field(discriminator="kind")
]
