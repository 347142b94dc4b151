"""Two doors of one terminal in one thread, with the clock of the tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.writer import AuditLogWriter
from edge.config.access import AccessConfig
from edge.config.door import DoorConfig
from edge.door.access_point import build_access_point
from edge.door.door import Door
from edge.door.hardware import DoorHardware
from edge.door.lane_requests import LaneRequests
from edge.door.paths import DoorPaths
from edge.door.people_watcher import PeopleWatcher
from edge.door.record import PreviousRun
from edge.door.simulated_backend import SimulatedRelayOutput
from edge.door.unlocker import GrantUnlocker
from edge.door.zone_lock import ZoneLock
from edge.system.wallclock import WallClock
from edge.values import Grant
from tests.doors import CLOCK, PULSE_S, FileInputs, make_settings

ZONE: dict[str, Any] = {
    "zones": [{"name": "lab", "anti_passback": "hard", "max_people": 3}],
    "lanes": [
        {"name": "left-in", "door": "left", "zone": "lab"},
        {"name": "right-in", "door": "right", "zone": "lab"},
        {
            "name": "right-out",
            "door": "right",
            "zone": "lab",
            "direction": "out",
            "hardware_egress": True,
        },
    ],
}
INTERLOCK: dict[str, Any] = {
    "lanes": [{"name": "left-in", "door": "left"}, {"name": "right-in", "door": "right"}],
    "interlock_doors": ["left", "right"],
}


class TestDoor:
    """Door process without a socket."""

    __test__ = False
    _numbers = map(str, itertools.count())

    def __init__(
        self, folder: Path, name: str, access: Mapping[str, Any], has_inputs: bool
    ) -> None:
        own = folder / name
        own.mkdir(exist_ok=True)
        config = AccessConfig.model_validate(access)
        states = {door: folder / door / "door.state" for door in config.interlock_doors}
        paths = replace(DoorPaths.in_folder(folder), states=states)
        rules = build_access_point(config, DoorConfig.model_validate({"name": name}))
        self.probe = ZoneLock(paths.zones_lock, CLOCK)
        self.name, self.relay = name, SimulatedRelayOutput(CLOCK)
        self.wires = FileInputs(own) if has_inputs else None
        self.door = Door(
            make_settings(access=rules),
            DoorHardware(self.relay, None, self.wires.inputs if self.wires else None),
            AsyncLogWriter(lambda: AuditLogWriter(own / "door")),
            PreviousRun(),
            CLOCK,
            WallClock(PreviousRun().clock, lambda: 2e9),
            paths,
        )
        self._people = PeopleWatcher(paths.people, paths.people_key)
        self._requests = LaneRequests(self.door, self._people, GrantUnlocker(self.door), None)
        self.door.update()

    def face(self, name: str, lane: str | None = None) -> object:
        """Request a grant; return why it is refused, None if the door unlocked."""
        grant = Grant(next(self._numbers), name, 1, CLOCK(), lane or f"{self.name}-in")
        return self._requests.present_face(grant)

    def relock(self) -> None:
        CLOCK.advance(2 * PULSE_S)
        self.door.update()
        assert not self.relay.energised

    def settle(self) -> None:
        """Save what waits for the disk: the lock is free then."""
        self.door.update()
        while not self.probe.try_acquire():
            self.door.access.wait(1.0)
            self.door.update()
        self.probe.release()

    def close(self) -> None:
        self.door.stop()
        self.door.log.close()
        self._people.close()


@contextmanager
def two_doors(
    folder: Path, access: Mapping[str, Any], *, has_inputs: bool = False
) -> Iterator[tuple[TestDoor, TestDoor]]:
    """Run two doors, `left` and `right`."""
    doors = [TestDoor(folder, name, access, has_inputs) for name in ("left", "right")]
    for door in doors:
        door.door.update()
    try:
        yield doors[0], doors[1]
    finally:
        for door in doors:
            door.close()
