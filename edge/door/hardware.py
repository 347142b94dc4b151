"""The door's hardware as a whole, and a note of its outputs: what a killed process left driven is put to rest by it."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edge.config.door import DoorConfig, RelayConfig
from edge.door.inputs import DoorInputs, open_inputs
from edge.door.relay import RelayOutput, open_relay
from edge.errors import DoorError
from edge.parsing import parse_json
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import read_regular, write_atomic

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DoorHardware:
    """The door's hardware: the lock's relay, and what else there is."""

    relay: RelayOutput
    alarm: RelayOutput | None = None
    inputs: DoorInputs | None = None

    def close(self) -> None:
        """Lock first; each part whatever the others do."""
        with contextlib.ExitStack() as steps:  # last in, first out
            for part in (self.inputs, self.alarm, self.relay):
                if part is not None:
                    steps.callback(part.close)
            steps.callback(self.relay.deenergise)


def open_hardware(door: DoorConfig) -> DoorHardware:
    """The lock's relay first, so that it is locked whatever else fails; raises DoorError."""
    wiring = DoorHardware(open_relay(door.relay))
    try:
        if door.alarm is not None:
            wiring = replace(wiring, alarm=open_relay(door.alarm))
        return replace(wiring, inputs=open_inputs(door.inputs))
    except BaseException:
        wiring.close()
        raise


class DoorOutputs(BaseModel):
    """The outputs of a door. The configuration may name others by the time these must be put to rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    relay: RelayConfig
    alarm: RelayConfig | None = None


_NOTE_MAX = 1 << 16  # bytes


def configured_outputs(door: DoorConfig) -> DoorOutputs:
    return DoorOutputs(relay=door.relay, alarm=door.alarm)


def load_outputs(path: Path) -> DoorOutputs | None:
    """The outputs that a door process opened last; None where no note can be read."""
    try:
        return parse_json(DoorOutputs, read_regular(path, _NOTE_MAX))
    except (OSError, ValueError):
        return None


def save_outputs(lines: DoorOutputs, path: Path) -> None:
    """To be called before they are opened; others that are still noted are put to rest first. Best effort: a door without a note
    is better than none, and then `edge-door safe-state` goes by the configuration."""
    before = load_outputs(path)
    if before == lines:
        return  # a full disk may hold it already
    if before is not None:
        try:
            deenergise_outputs(before, path.parent)
        except DoorError as error:
            log.error("a line of the wiring before this one: %s", error)
    try:
        with acting_as_owner(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            write_atomic(path, lines.model_dump_json().encode(), 0o644)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s): `edge-door safe-state` will go by the configuration",
            path,
            error.strerror,
        )
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def deenergise_outputs(lines: DoorOutputs, noted_in: Path | None = None) -> None:
    """Opening a relay drives it to rest, and so does closing it. Each line whatever the other does; raises DoorError."""
    with contextlib.ExitStack() as steps:  # last in, first out
        for line in (lines.alarm, lines.relay):
            if line is not None:
                steps.callback(_rest_line, line, noted_in)


def _rest_line(line: RelayConfig, noted_in: Path | None) -> None:
    """Root writes a file that a note names only with the rights of the account that wrote it."""
    as_writer = noted_in is not None and line.kind == "file"
    with acting_as_owner(noted_in) if as_writer and noted_in else contextlib.nullcontext():
        open_relay(line).close()
