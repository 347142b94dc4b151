"""The relay that holds or frees the lock: protocol and choice of its implementation."""

from __future__ import annotations

from typing import Protocol

from edge.config.door import FileRelayConfig, GpioRelayConfig, RelayConfig


class RelayOutput(Protocol):
    """One output. Not energised means locked, before the first call and after `close`."""

    def energise(self) -> None: ...

    def deenergise(self) -> None: ...

    def close(self) -> None: ...


def open_relay(config: RelayConfig) -> RelayOutput:
    """The relay of a config, not energised; raises DoorError."""
    if isinstance(config, GpioRelayConfig):
        from edge.door.gpio_backend import GpioRelayOutput, open_factory

        return GpioRelayOutput(
            config.pin, active_high=config.active_high, factory=open_factory(config.factory)
        )
    if isinstance(config, FileRelayConfig):
        from edge.door.file_backend import FileRelayOutput

        return FileRelayOutput(config.path)
    from edge.door.simulated_backend import SimulatedRelayOutput

    return SimulatedRelayOutput()
