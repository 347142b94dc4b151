"""A relay on a pin, by gpiozero with the pin factory that the config names."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from gpiozero import DigitalInputDevice, DigitalOutputDevice
from gpiozero.pins.mock import MockFactory

from edge.errors import DoorError


def open_factory(name: str) -> Any:
    """gpiozero's pin factory `jetson`, `lgpio`, `native` or `mock`; raises DoorError where it does not work here."""
    if name == "mock":
        return MockFactory()
    try:
        if name == "lgpio":
            os.environ.setdefault(
                "LG_WD", "/tmp"
            )  # lgpio leaves a FIFO in its working directory, which may be read-only
            from gpiozero.pins.lgpio import LGPIOFactory

            return LGPIOFactory()
        if name == "jetson":
            from edge.door.jetson import JetsonFactory

            return JetsonFactory()
        from gpiozero.pins.native import NativeFactory

        return NativeFactory()
    except Exception as error:  # boards, drivers and rights fail in many ways and types
        raise DoorError(
            f"gpiozero's pin factory {name!r} does not work here: {error}; use `kind: simulated` on a machine without pins"
        ) from error


class GpioRelayOutput:
    """The pin is driven to its inactive level when it is opened and before it is closed."""

    def __init__(self, pin: int | str, *, active_high: bool, factory: Any) -> None:
        try:
            self._device = DigitalOutputDevice(
                pin, active_high=active_high, initial_value=False, pin_factory=factory
            )
        except Exception as error:  # gpiozero's own, and those of each driver below it
            factory.close()
            raise DoorError(
                f"relay pin {pin!r} cannot be used: {error}; check `door.relay.pin` and the wiring guide"
            ) from error
        self._factory = factory

    def energise(self) -> None:
        self._switch(True)

    def deenergise(self) -> None:
        self._switch(False)

    def close(self) -> None:
        with (
            contextlib.ExitStack() as steps
        ):  # last in, first out, and each one whatever the others do
            steps.callback(self._factory.close)
            steps.callback(self._device.close)
            if not self._device.closed:
                steps.callback(self.deenergise)

    def _switch(self, on: bool) -> None:
        try:
            self._device.value = on
        except Exception as error:
            raise DoorError(f"the relay pin cannot be switched: {error}") from error


class GpioInputLine:
    """An input pin, read as a level."""

    def __init__(self, pin: int | str, *, active_high: bool, pull: str, factory: Any) -> None:
        pulled = {"up": True, "down": False, "external": None}[pull]
        try:
            self._device = DigitalInputDevice(
                pin,
                pull_up=pulled,
                active_state=active_high if pulled is None else None,
                pin_factory=factory,
            )
        except Exception as error:  # gpiozero's own, and those of each driver below it
            factory.close()
            raise DoorError(
                f"input pin {pin!r} cannot be used: {error}; check `door.inputs` and the wiring guide"
            ) from error
        # With a pull gpiozero calls the pulled level inactive; the config says what active is.
        self._inverted = pulled is not None and active_high is pulled
        self._factory = factory

    def is_active(self) -> bool:
        try:
            return bool(self._device.value) is not self._inverted
        except Exception as error:
            raise DoorError(f"an input pin cannot be read: {error}") from error

    def close(self) -> None:
        with contextlib.ExitStack() as steps:
            steps.callback(self._factory.close)
            steps.callback(self._device.close)
