"""The door's hardware, and a file with its outputs for the safe state after a kill."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from edge.config.door import DoorConfig
from edge.config.relay import RelayConfig
from edge.config.section import Section
from edge.door.inputs import DoorInputs, open_inputs
from edge.door.relay import RelayOutput, open_relay
from edge.door.signals import SignalOutput, open_signals
from edge.errors import DoorError
from edge.parsing import parse_json
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import read_regular, write_atomic

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DoorHardware:
    """Relays, inputs and signals of a door."""

    relay: RelayOutput
    alarm: RelayOutput | None = None
    inputs: DoorInputs | None = None
    signals: tuple[SignalOutput, ...] = ()

    def close(self) -> None:
        """Lock first, then close each part even if another one fails."""
        with contextlib.ExitStack() as steps:  # last in, first out
            for part in (*self.signals, self.inputs, self.alarm, self.relay):
                if part is not None:
                    steps.callback(part.close)
            steps.callback(self.relay.deenergise)


def open_hardware(door: DoorConfig) -> DoorHardware:
    """Open the lock's relay first: the door is locked whatever else fails. Raises DoorError."""
    hardware = DoorHardware(open_relay(door.relay))
    try:
        if door.alarm is not None:
            hardware = replace(hardware, alarm=open_relay(door.alarm))
        hardware = replace(hardware, inputs=open_inputs(door.inputs))
        return replace(hardware, signals=open_signals(door.signals))
    except BaseException:
        hardware.close()
        raise


class DoorOutputs(Section):
    """Outputs of a door, kept in a file: the configuration may have changed since."""

    relay: RelayConfig
    alarm: RelayConfig | None = None
    signals: tuple[RelayConfig, ...] = ()


_FILE_MAX = 1 << 16  # bytes


def configured_outputs(door: DoorConfig) -> DoorOutputs:
    signals = tuple(signal.output for signal in door.signals)
    return DoorOutputs(relay=door.relay, alarm=door.alarm, signals=signals)


def load_outputs(path: Path) -> DoorOutputs | None:
    """Return the outputs that a door process opened last, None if the file cannot be read."""
    try:
        return parse_json(DoorOutputs, read_regular(path, _FILE_MAX))
    except (OSError, ValueError):
        return None


def save_outputs(outputs: DoorOutputs, path: Path) -> None:
    """Save the outputs before they are opened; other saved outputs are de-energised first.

    A failed write is logged only: `edge-door safe-state` uses the configuration then.
    """
    previous = load_outputs(path)
    if previous == outputs:
        return  # also works on a full disk
    if previous is not None:
        try:
            deenergise_outputs(previous, path.parent)
        except DoorError as error:
            log.error("an output of the previous configuration: %s", error)
    try:
        with acting_as_owner(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            write_atomic(path, outputs.model_dump_json().encode(), 0o644)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s): `edge-door safe-state` will use the configuration",
            path,
            error.strerror,
        )
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def deenergise_outputs(outputs: DoorOutputs, saved_in: Path | None = None) -> None:
    """De-energise outputs by opening and closing each. Raises DoorError after the last."""
    with contextlib.ExitStack() as steps:  # last in, first out
        for output in (*outputs.signals, outputs.alarm, outputs.relay):
            if output is not None:
                steps.callback(_deenergise_output, output, saved_in)


def _deenergise_output(output: RelayConfig, saved_in: Path | None) -> None:
    """Open and close an output. Root writes a file named by another account with its rights."""
    is_foreign_file = saved_in is not None and output.kind == "file"
    with acting_as_owner(saved_in) if is_foreign_file and saved_in else contextlib.nullcontext():
        open_relay(output).close()
