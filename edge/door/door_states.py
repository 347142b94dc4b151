"""Lock and contact of the interlocked doors of one terminal, each published by its process."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from edge.access.rules.values import DoorStatus
from edge.frozen_model import FrozenModel
from edge.system.atomic_files import read_regular

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
STALE_S = 2.0  # an older state counts as unlocked and open
_FILE_MAX = 4096  # bytes


class PublishedState(FrozenModel):
    """State of a door in its file."""

    model_config = ConfigDict(strict=True)

    boot: str  # the time counts since this start of the machine
    at: float  # monotonic seconds
    is_unlocked: bool
    is_open: bool


class DoorStates:
    """Publishes the state of one door, and reads the states of the other ones.

    The files are in memory (tmpfs), so that the main loop can write and read them.
    """

    def __init__(
        self, paths: Mapping[str, Path], door: str, clock: Callable[[], float], boot: str
    ) -> None:
        self._own = paths.get(door)
        self._others = {name: path for name, path in paths.items() if name != door}
        self._clock, self._boot = clock, boot
        self._published: DoorStatus | None = None
        self._at = -math.inf
        self._has_failed = False

    def publish(self, status: DoorStatus) -> bool:
        """Publish a state that is new, or as a heartbeat; False if it cannot be published."""
        now = self._clock()
        if self._own is None or (status == self._published and now - self._at < HEARTBEAT_S):
            return True
        state = PublishedState(
            boot=self._boot, at=now, is_unlocked=status.is_unlocked, is_open=status.is_open
        )
        fresh = self._own.with_name(f".{self._own.name}")
        try:
            fresh.write_text(state.model_dump_json())
            fresh.replace(self._own)
        except OSError as error:
            self._report(error)
            return False
        self._published, self._at, self._has_failed = status, now, False
        return True

    def read(self) -> dict[str, DoorStatus]:
        """Return the states of the other doors; a door whose state is not known is missing."""
        found = {name: self._read(path) for name, path in self._others.items()}
        return {name: status for name, status in found.items() if status is not None}

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the other doors."""
        return tuple(self._others)

    def close(self) -> None:
        """Remove the own state: it is not known from now on."""
        if self._own is not None:
            try:
                self._own.unlink(missing_ok=True)
            except OSError as error:
                self._report(error)

    def _read(self, path: Path) -> DoorStatus | None:
        try:
            state = PublishedState.model_validate_json(read_regular(path, _FILE_MAX))
        except (OSError, ValidationError):
            return None
        is_fresh = state.boot == self._boot and 0 <= self._clock() - state.at <= STALE_S
        return DoorStatus(state.is_unlocked, state.is_open) if is_fresh else None

    def _report(self, error: OSError) -> None:
        """Log a problem once."""
        if not self._has_failed:
            self._has_failed = True
            log.error(
                "%s: the state of the door cannot be published: %s; the other doors of "
                "`access.interlock_doors` refuse grants; check the folder and its rights",
                self._own,
                error.strerror or error,
            )
