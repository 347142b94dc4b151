"""Door with access rules, people and a simulated reader, for tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.config.lane import DEFAULT_DOOR
from edge.door.access_point import build_access_point
from edge.door.client import DoorClient
from edge.door.credential_editor import edit_credentials
from edge.door.paths import DoorPaths
from edge.door.readers.card_formats import parse_card
from edge.door.readers.reader import Reader
from edge.door.readers.simulated import SimulatedReader, send_line
from edge.values import Grant
from tests.doors import CLOCK, TIMEOUT_S, FileInputs, RunningDoor, make_settings, records, until

ADAS_CARD, BENS_CARD, NO_CARD = "26:1:1001", "26:1:1002", "26:9:9009"
ADAS_PIN, ADAS_DURESS_PIN, BENS_PIN, NO_PIN = "271828", "314159", "161803", "999999"
LAB = {
    "zones": [{"name": "lab", "anti_passback": "hard", "max_people": 2}],
    "lanes": [
        {"name": "in", "zone": "lab"},
        {"name": "out", "zone": "lab", "direction": "out", "hardware_egress": True},
    ],
}


def make_people(folder: Path, people: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write Ada and Ben with card and PIN, and others without; `people` are attributes."""
    paths = DoorPaths.in_folder(folder)
    with edit_credentials(paths.people, paths.people_key) as editor:
        for name, card, pin, duress in (
            ("Ada", ADAS_CARD, ADAS_PIN, ADAS_DURESS_PIN),
            ("Ben", BENS_CARD, BENS_PIN, None),
        ):
            editor.set_person(name, {})
            editor.add_card(name, parse_card(card))
            editor.set_pin(name, pin, duress)
        for name, attributes in (people or {}).items():
            editor.set_person(name, attributes)


class LaneDoor:
    """Running door with a client, and a reader `entry` that types cards and PINs."""

    def __init__(
        self,
        folder: Path,
        access: Mapping[str, Any],
        *,
        readers: Mapping[str, Reader] | None = None,
        has_inputs: bool = False,
        panel: Mapping[str, Any] | None = None,
        reader_lane: str | None = None,
        door_name: str = DEFAULT_DOOR,
        **options: Any,
    ) -> None:
        self._reader_path = folder / "reader.sock"
        self.wires = FileInputs(folder) if has_inputs else None
        contact = {"kind": "file", "path": folder / "contact"}
        inputs = {"contact": contact} if has_inputs else {}
        fields = {"name": door_name, "inputs": inputs, "panel": panel}
        door = DoorConfig.model_validate(fields)
        settings = build_access_point(AccessConfig.model_validate(access), door)
        self.camera_lane = settings.lanes[0].name
        lanes = {"entry": reader_lane or self.camera_lane}
        changes = options.pop("settings", {})
        self.door = RunningDoor(
            folder,
            wires=self.wires,
            settings=make_settings(access=replace(settings, reader_lanes=lanes), **changes),
            readers=readers or {"entry": SimulatedReader(self._reader_path)},
            **options,
        )
        self.client = DoorClient(self.door.path, timeout_s=TIMEOUT_S)
        if readers is None:
            until(lambda: bool(self.records("reader-found")))

    def face(
        self, name: str, *, lane: str | None = None, masked: bool = False, claimed: bool = False
    ) -> str | None:
        """Request a grant as the recogniser does, at the first lane of the door."""
        lane, number = lane or self.camera_lane, secrets.token_hex(8)
        grant = Grant(number, name, 7, CLOCK(), lane, masked=masked, claimed=claimed)
        return self.client.grant(grant)

    def claim(self, lane: str | None = None) -> str | None:
        """Request the person whose card or PIN waits, as the recogniser does."""
        return self.client.claim(lane or self.camera_lane)

    def type(self, line: str) -> None:
        """Send a line to the reader, such as `card 26:1:1001` or `pin 1234`."""
        send_line(self._reader_path, line)

    def type_until(self, line: str, event: str, count: int = 1) -> list[dict[str, Any]]:
        """Send a line to the reader and wait for this number of records of an event."""
        self.type(line)
        until(lambda: len(self.records(event)) >= count)
        return self.records(event)

    def records(self, event: str) -> list[dict[str, Any]]:
        return records(self.door, event)

    @property
    def is_unlocked(self) -> bool:
        return self.door.relay.energised

    def relock(self) -> None:
        until(lambda: not self.is_unlocked)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.status()
        return found

    def stop(self) -> None:
        self.client.close()
        self.door.stop()


@contextmanager
def lane_door(folder: Path, access: Mapping[str, Any], **options: Any) -> Iterator[LaneDoor]:
    """Run a door with access rules."""
    made = LaneDoor(folder, access, **options)
    try:
        yield made
    finally:
        made.stop()
