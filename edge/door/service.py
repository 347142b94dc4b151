"""Service of the door process: a Unix socket around one `Door`, which is locked however it ends.

It imports neither numpy nor an engine. Each wait in its loop ends with the running pulse.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from edge.audit.async_writer import AsyncLogWriter
from edge.door.connections import Connections
from edge.door.credential_lockout import CredentialLockout
from edge.door.door import Door
from edge.door.events import DoorEventCode, EventCause
from edge.door.hardware import DoorHardware
from edge.door.lane_requests import LaneRequests
from edge.door.panel_requests import PanelRequests
from edge.door.paths import DoorPaths
from edge.door.people_watcher import PeopleWatcher
from edge.door.pin_hasher import PinHasher
from edge.door.reader_requests import ReaderRequests
from edge.door.readers.reader_set import ReaderSet
from edge.door.record import PreviousRun
from edge.door.requests import RequestHandler
from edge.door.settings import DoorSettings
from edge.door.unlocker import GrantUnlocker
from edge.system.wallclock import WallClock


class DoorService:
    """Socket and door; `step` is one turn of the loop, `close` locks."""

    def __init__(
        self,
        settings: DoorSettings,
        hardware: DoorHardware,
        log_writer: AsyncLogWriter,
        paths: DoorPaths,
        readers: ReaderSet,
        *,
        previous: PreviousRun = PreviousRun(),
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Open the socket. Raises DoorError if it cannot, or if a relay fails."""
        wall_clock = WallClock(previous.clock, wall)
        self.door = Door(settings, hardware, log_writer, previous, clock, wall_clock, paths)
        self._people = PeopleWatcher(paths.people, paths.people_key)
        unlocker, panel = GrantUnlocker(self.door), None
        if settings.access.panel is not None:
            panel = PanelRequests(self.door, settings.access.panel, readers, unlocker)
        access = LaneRequests(self.door, self._people, unlocker, panel)
        pins = PinHasher(clock, wake=lambda: None)
        lockout = CredentialLockout(self.door, settings.access.lockout, paths.lockouts)
        self._readers = ReaderRequests(self.door, access, readers, pins, lockout)
        self._requests = RequestHandler(self.door, access, self._readers)
        self._connections = Connections(paths.socket)
        self._is_closed = False
        self._update_accounts()
        self.door.start(previous)
        self._readers.restore_lockouts()
        if self._people.credentials.damage:
            self._record_people()
        self.door.update()

    def step(self) -> None:
        """Wait for a packet, an input or the end of a pulse, and act on it."""
        for peer, uid, packet in self._connections.receive(self.door.wait_s()):
            self.door.update()
            self._connections.send(peer, self._requests.handle(packet, uid))
        self.door.update()
        self._readers.update()
        if self._people.update():
            self._readers.update_people()
            self._record_people()

    def reload(self, settings: DoorSettings) -> None:
        """Use other settings; accounts without rights are disconnected."""
        self.door.update_settings(settings)
        self._update_accounts()
        self._requests.reload_refused = ""
        self.door.append(DoorEventCode.RELOADED, EventCause.CONFIGURATION)

    def refuse_reload(self, why: str) -> None:
        """Keep the settings; status and audit log show why, for operators without the journal."""
        self._requests.reload_refused = why
        self.door.append(DoorEventCode.RELOAD_REFUSED, EventCause.CONFIGURATION, note=why)

    def status(self) -> dict[str, Any]:
        """Return the answer to a status request."""
        return self._requests.status()

    def close(self) -> None:
        """Lock first, then release everything else; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.ExitStack() as steps:  # last in, first out; each whatever others raise
            steps.callback(self.door.log.close)
            steps.callback(self._people.close)
            steps.callback(self._readers.close)
            steps.callback(self._connections.close)
            steps.callback(self.door.stop)

    def _record_people(self) -> None:
        """Record that the file of people changed, or cannot be used."""
        credentials = self._people.credentials
        if credentials.damage:
            code = DoorEventCode.PEOPLE_INVALID
            self.door.append(code, EventCause.FILE_CHANGED, note=credentials.damage)
        else:
            more = {"people": len(credentials)}
            self.door.append(DoorEventCode.PEOPLE_CHANGED, EventCause.FILE_CHANGED, more=more)

    def _update_accounts(self) -> None:
        clients = self.door.settings.clients.keys()
        self._connections.update_accounts(clients, self._requests.operators)
