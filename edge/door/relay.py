"""Relay of the lock or alarm: protocol, and choice of the backend."""

from __future__ import annotations

from typing import Protocol

from edge.config.relay import FileRelayConfig, GpioRelayConfig, RelayConfig


class RelayOutput(Protocol):
    """Relay output. It is de-energised, thus locked, before the first call and after `close`."""

    def energise(self) -> None: ...

    def deenergise(self) -> None: ...

    def close(self) -> None: ...


def open_relay(config: RelayConfig) -> RelayOutput:
    """Open the relay of a configuration, de-energised. Raises DoorError."""
    if isinstance(config, GpioRelayConfig):
        from edge.door.gpio_backend import GpioRelayOutput, open_pin_factory

        return GpioRelayOutput(
            config.pin, active_high=config.active_high, factory=open_pin_factory(config.factory)
        )
    if isinstance(config, FileRelayConfig):
        from edge.door.file_backend import FileRelayOutput

        return FileRelayOutput(config.path)
    from edge.door.simulated_backend import SimulatedRelayOutput

    return SimulatedRelayOutput()
