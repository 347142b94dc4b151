"""Inputs of the door. They are read as levels: an edge could be missed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from edge.config.door import FileInputConfig, GpioInputConfig, InputsConfig
from edge.door.controller import InputKind
from edge.door.file_backend import FileInputLine

POLL_S = 0.02
_ORDER = (
    InputKind.FIRE,
    InputKind.REX,
    InputKind.TAMPER,
    InputKind.CONTACT,
    InputKind.MANTRAP,
    InputKind.PASSAGE,
)


class InputLine(Protocol):
    """Raw level of one input; the configuration defines which level is active."""

    def is_active(self) -> bool: ...

    def close(self) -> None: ...


class Debounce:
    """Debounce of one input. Pure: times are arguments in seconds."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._level: bool | None = None  # None until it settles for the first time
        self._raw = False
        self._since = -math.inf

    def update(self, raw: bool, now: float) -> bool | None:
        """Return the settled level if it changed just now, else None."""
        if self._since == -math.inf or raw != self._raw:
            self._raw, self._since = raw, now
        if raw != self._level and now - self._since >= self._settle_s:
            self._level = raw
            return raw
        return None


class DoorInputs:
    """All inputs of a door with their debounce."""

    def __init__(
        self, lines: Mapping[InputKind, InputLine], settle_s: Mapping[InputKind, float]
    ) -> None:
        self._lines = dict(lines)
        self._debounce = {kind: Debounce(settle_s[kind]) for kind in lines}

    def __len__(self) -> int:
        return len(self._lines)

    def read_changes(self, now: float) -> list[tuple[InputKind, bool]]:
        """Return inputs with a new settled level, fire first. Raises DoorError if one fails."""
        changed = []
        for kind in _ORDER:
            if kind in self._lines:
                level = self._debounce[kind].update(self._lines[kind].is_active(), now)
                if level is not None:
                    changed.append((kind, level))
        return changed

    def close(self) -> None:
        for line in self._lines.values():
            line.close()


def _configured(config: InputsConfig) -> dict[InputKind, FileInputConfig | GpioInputConfig | None]:
    return {
        InputKind.CONTACT: config.contact,
        InputKind.REX: config.rex,
        InputKind.FIRE: config.fire,
        InputKind.TAMPER: config.tamper,
        InputKind.MANTRAP: config.mantrap,
        InputKind.PASSAGE: config.passage,
    }


def open_inputs(config: InputsConfig) -> DoorInputs:
    """Open the inputs of a configuration. Raises DoorError."""
    lines: dict[InputKind, InputLine] = {}
    settle: dict[InputKind, float] = {}
    try:
        for kind, input_config in _configured(config).items():
            if isinstance(input_config, FileInputConfig):
                lines[kind] = FileInputLine(input_config.path)
            elif isinstance(input_config, GpioInputConfig):
                from edge.door.gpio_backend import GpioInputLine, open_pin_factory

                lines[kind] = GpioInputLine(
                    input_config.pin,
                    active_high=input_config.active_high,
                    pull=input_config.pull,
                    factory=open_pin_factory(input_config.factory),
                )
            if input_config is not None:
                settle[kind] = input_config.settle_ms / 1000
    except BaseException:
        for line in lines.values():
            line.close()
        raise
    return DoorInputs(lines, settle)
