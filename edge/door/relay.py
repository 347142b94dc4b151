"""The relay that holds or frees the lock: protocol and choice of its implementation."""

from __future__ import annotations

from typing import Protocol

from edge.config.door import FileRelay, GpioRelay
from edge.config.door import Relay as RelayConfig


class Relay(Protocol):
    """One output. Not energised means locked, before the first call and after `close`."""

    def energise(self) -> None: ...

    def release(self) -> None: ...

    def close(self) -> None: ...


def open_relay(config: RelayConfig) -> Relay:
    """The relay of a config, not energised; raises DoorError."""
    if isinstance(config, GpioRelay):
        from edge.door.gpio_backend import GpioRelayOutput, open_factory

        return GpioRelayOutput(
            config.pin, active_high=config.active_high, factory=open_factory(config.factory)
        )
    if isinstance(config, FileRelay):
        from edge.door.file_backend import FileRelay as FileRelayOutput

        return FileRelayOutput(config.path)
    from edge.door.simulated_backend import SimulatedRelay

    return SimulatedRelay()
