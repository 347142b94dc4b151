"""Carries out the scenario's actions: inputs are files, commands use the door's socket."""

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
from edge.door.events import describe_refusal

_POLL_S = 0.05
_PATIENCE_S = 60.0  # wait after the clip: pulse and open door take seconds, more when busy


class DemoActor:
    """Acts on a door and its inputs while the recogniser runs.

    `ended` returns the recogniser's exit code, None while it runs.
    """

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

    def run(self, actions: Sequence[Action], say: Callable[[str], None]) -> None:
        """Carry out all actions; stop early if a trigger does not come. Raises DoorError."""
        acted_at = self._clock()
        for action in actions:
            if action.trigger is not None and not self._wait_for(action.trigger, acted_at):
                say(f"No trigger in time for: {action.description}")
                break
            self._sleep(action.pause_s)
            say(action.description)
            acted_at = self._clock()
            if isinstance(action.effect, InputChange):
                self._set_input(action.effect)
            else:
                self._send_command(action.effect, say)

    def _wait_for(self, trigger: FaceDecided | DoorRecorded, acted_at: float) -> bool:
        """Wait until a trigger is on record.

        Return False if the recogniser failed, or if the clip ended too long ago.
        """
        give_up_at = math.inf
        while not self._is_recorded(trigger, acted_at):
            code = self._ended()
            if code is not None:
                give_up_at = min(give_up_at, self._clock() + _PATIENCE_S)
            if code or self._clock() >= give_up_at:
                return False
            self._sleep(_POLL_S)
        return True

    def _is_recorded(self, trigger: FaceDecided | DoorRecorded, acted_at: float) -> bool:
        if isinstance(trigger, DoorRecorded):
            return any(
                e.get("event") == trigger.event and e["at"] > acted_at
                for e in read_log(self._config.door_record_path)
            )
        frames = next(
            frames
            for scene, frames in zip(SCENES, frame_ranges(SCENES), strict=True)
            if scene.title == trigger.scene
        )
        return any(d.get("frame") in frames for d in read_log(self._config.decisions_path))

    def _set_input(self, change: InputChange) -> None:
        line = getattr(self._config.door.inputs, change.input.value)
        assert isinstance(line, FileInputConfig)
        line.path.write_text("1" if change.active else "0", encoding="ascii")

    def _send_command(self, request: OperatorRequest, say: Callable[[str], None]) -> None:
        refused = self._door.command(request.command.value, request.note)
        if refused is not None:
            say(f"  The door refuses: {describe_refusal(refused)}")
