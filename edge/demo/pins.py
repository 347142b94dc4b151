"""PINs of the demo: drawn for each run, known to the door process as hashes only."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from edge.config import TerminalConfig
from edge.demo.scenario import DemoPin
from edge.door.credential_editor import edit_credentials
from edge.portraits import COLLINS

_DIGITS = 6


def draw_pins() -> dict[DemoPin, str]:
    """Return different random digits for each PIN."""
    drawn: set[str] = set()
    while len(drawn) < len(DemoPin):
        drawn.add(f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}}")
    return dict(zip(DemoPin, drawn, strict=True))


def save_pins(config: TerminalConfig, pins: Mapping[DemoPin, str]) -> None:
    """Write Eileen Collins with her PINs to the door's file of people. Raises DoorError."""
    with edit_credentials(config.people_path, config.people_key_path) as editor:
        editor.set_person(COLLINS.person, {})
        editor.set_pin(COLLINS.person, pins[DemoPin.RIGHT], pins[DemoPin.DURESS])
