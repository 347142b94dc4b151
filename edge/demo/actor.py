"""Plays the script's acts at the real door while the clip runs: wires are files, commands go over the door's socket."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from edge.audit.reader import read_log
from edge.config import TerminalConfig
from edge.config.door import FileInputConfig
from edge.demo.scenario import (
    SCENES,
    Action,
    DoorRecorded,
    FaceDecided,
    InputChange,
    OperatorRequest,
    frame_ranges,
)
from edge.door.client import DoorClient

_POLL_S = 0.05
_PATIENCE_S = 60.0  # wait after the clip: pulse and open door take seconds, more when busy


class DemoActor:
    """One door, its wires, and the recogniser's process; `ended` is its exit code, None while it plays the clip."""

    def __init__(
        self,
        config: TerminalConfig,
        door: DoorClient,
        ended: Callable[[], int | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._door = door
        self._ended = ended
        self._clock, self._sleep = clock, sleep

    def run(self, acts: Sequence[Action], say: Callable[[str], None]) -> None:
        """Do all acts; ends early where a cue never comes. Raises DoorError where no door answers."""
        acted_at = self._clock()
        for act in acts:
            if act.trigger is not None and not self._wait_for(act.trigger, acted_at):
                say(f"Waited in vain for the cue of: {act.description}")
                break
            self._sleep(act.pause_s)
            say(act.description)
            acted_at = self._clock()
            if isinstance(act.effect, InputChange):
                self._set_input(act.effect)
            else:
                self._send_command(act.effect, say)

    def _wait_for(self, cue: FaceDecided | DoorRecorded, acted_at: float) -> bool:
        """Wait until a cue is on record; False where the recogniser has failed, or the clip ended long ago."""
        give_up_at = math.inf
        while not self._is_recorded(cue, acted_at):
            code = self._ended()
            if code is not None:
                give_up_at = min(give_up_at, self._clock() + _PATIENCE_S)
            if code or self._clock() >= give_up_at:
                return False
            self._sleep(_POLL_S)
        return True

    def _is_recorded(self, cue: FaceDecided | DoorRecorded, acted_at: float) -> bool:
        if isinstance(cue, DoorRecorded):
            return any(
                e.get("event") == cue.event and e["at"] > acted_at
                for e in read_log(self._config.door_record_path)
            )
        frames = next(
            frames
            for scene, frames in zip(SCENES, frame_ranges(SCENES), strict=True)
            if scene.title == cue.scene
        )
        return any(d.get("frame") in frames for d in read_log(self._config.decisions_path))

    def _set_input(self, wire: InputChange) -> None:
        line = getattr(self._config.door.inputs, wire.input.value)
        assert isinstance(line, FileInputConfig)
        line.path.write_text("1" if wire.active else "0", encoding="ascii")

    def _send_command(self, ask: OperatorRequest, say: Callable[[str], None]) -> None:
        refused = self._door.command(ask.command.value, ask.note)
        if refused is not None:
            say(f"  The door refuses: {refused}")
