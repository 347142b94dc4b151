"""Relay and inputs on pins, through gpiozero."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from gpiozero import DigitalInputDevice, DigitalOutputDevice
from gpiozero.pins.mock import MockFactory

from edge.door.libraries import LGPIO_LINES, PIN_FACTORIES
from edge.errors import DoorError

_LGPIO_FACTORIES = ("jetson", "lgpio")


def open_pin_factory(name: str) -> Any:
    """Return the pin factory `jetson`, `lgpio`, `native` or `mock`. Raises DoorError."""
    if name == "mock":
        return MockFactory()
    # lgpio writes a FIFO to its working directory, which may be read-only.
    os.environ.setdefault("LG_WD", "/tmp")
    library, factory = PIN_FACTORIES[name]
    module = library.load(f"gpiozero's pin factory {name!r}")
    try:
        return getattr(module, factory)()
    except Exception as error:  # boards and drivers raise many types
        raise DoorError(
            f"gpiozero's pin factory {name!r} does not work here: {error}; "
            "use `kind: simulated` on a machine without pins"
        ) from error


def check_pins(factory_name: str, pins: Mapping[str, int | str], *, are_free: bool) -> None:
    """Check that a factory works and has the pins, by key, and that no program uses them.

    `are_free`: False does not check the latter. Uses no pin. Raises DoorError.
    """
    factory = open_pin_factory(factory_name)
    try:
        for key, pin in pins.items():
            info = next((info for _, info in factory.board_info.find_pin(pin)), None)
            if info is None:
                raise DoorError(
                    f"{key}: this board has no pin {pin!r} for {factory_name}; write another one, "
                    "see docs/wiring.md"
                )
            if are_free and factory_name in _LGPIO_FACTORIES:
                _check_free(key, pin, factory.chip, int(info.name.removeprefix("GPIO")))
    finally:
        factory.close()


def _check_free(key: str, pin: int | str, chip: int, line: int) -> None:
    module = LGPIO_LINES.load(key)
    try:
        user = module.find_line_user(chip, line)
    except Exception as error:  # of lgpio
        raise DoorError(f"{key}: pin {pin} cannot be used: {error}; see `gpioinfo`") from error
    if user is not None:
        raise DoorError(
            f"{key}: pin {pin} is in use by {user}; end the program that uses it, or write "
            "another pin"
        )


class GpioRelayOutput:
    """Relay on a pin; opening and closing drive the pin to its inactive level."""

    def __init__(self, pin: int | str, *, active_high: bool, factory: Any) -> None:
        try:
            self._device = DigitalOutputDevice(
                pin, active_high=active_high, initial_value=False, pin_factory=factory
            )
        except Exception as error:  # of gpiozero and of each driver
            factory.close()
            raise DoorError(
                f"relay pin {pin!r} cannot be used: {error}; "
                "check `door.relay.pin` and docs/wiring.md"
            ) from error
        self._factory = factory

    def energise(self) -> None:
        self._switch(True)

    def deenergise(self) -> None:
        self._switch(False)

    def close(self) -> None:
        with contextlib.ExitStack() as steps:  # last in, first out; each even if another fails
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
    """Input on a pin, read as a level."""

    def __init__(self, pin: int | str, *, active_high: bool, pull: str, factory: Any) -> None:
        pulled = {"up": True, "down": False, "external": None}[pull]
        try:
            self._device = DigitalInputDevice(
                pin,
                pull_up=pulled,
                active_state=active_high if pulled is None else None,
                pin_factory=factory,
            )
        except Exception as error:  # of gpiozero and of each driver
            factory.close()
            raise DoorError(
                f"input pin {pin!r} cannot be used: {error}; check `door.inputs` and docs/wiring.md"
            ) from error
        # With a pull gpiozero takes the pulled level as inactive; the configuration decides.
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
