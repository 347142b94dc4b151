"""Carries out the scenario's actions: files as inputs, commands to the door, PINs at its reader."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from edge.audit.reader import read_log
from edge.config import TerminalConfig
from edge.config.door import FileInputConfig
from edge.config.readers import SimulatedReaderConfig
from edge.demo.scenario import (
    SCENES,
    Action,
    DemoPin,
    DoorRecorded,
    Effect,
    FaceDecided,
    InputChange,
    OperatorRequest,
    Trigger,
    frame_ranges,
)
from edge.door.client import DoorClient
from edge.door.events import describe_refusal
from edge.door.readers.simulated import send_line

_POLL_S = 0.05
_PATIENCE_S = 60.0  # wait after the clip: pulse and open door take seconds, more when busy


class DemoActor:
    """Acts on a door, its inputs and its reader while the recogniser runs.

    `pins` are the digits of each PIN. `ended` returns the recogniser's exit code, None while it
    runs.
    """

    def __init__(
        self,
        config: TerminalConfig,
        door: DoorClient,
        pins: Mapping[DemoPin, str],
        ended: Callable[[], int | None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config = config
        self._door = door
        self._pins = pins
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
            self._carry_out(action.effect, say)

    def _wait_for(self, trigger: Trigger, acted_at: float) -> bool:
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

    def _is_recorded(self, trigger: Trigger, acted_at: float) -> bool:
        if isinstance(trigger, DoorRecorded):
            return any(
                e.get("event") == trigger.event and e["at"] > acted_at
                for e in read_log(self._config.door_record_path)
            )
        decided = self._find_decisions(trigger.scene)
        if isinstance(trigger, FaceDecided):
            return bool(decided)
        return any(
            e.get("event") == "waiting" and e.get("record_id") in decided
            for e in read_log(self._config.door_record_path)
        )

    def _find_decisions(self, title: str) -> set[int]:
        """Return the ids of the decisions on faces in a scene."""
        frames = next(
            frames
            for scene, frames in zip(SCENES, frame_ranges(SCENES), strict=True)
            if scene.title == title
        )
        records = read_log(self._config.decisions_path)
        return {d["id"] for d in records if d.get("frame") in frames}

    def _carry_out(self, effect: Effect, say: Callable[[str], None]) -> None:
        if isinstance(effect, InputChange):
            self._set_input(effect)
        elif isinstance(effect, OperatorRequest):
            self._send_command(effect, say)
        else:
            (reader,) = self._config.door.readers
            assert isinstance(reader, SimulatedReaderConfig)
            send_line(reader.path, f"pin {self._pins[effect.pin]}")

    def _set_input(self, change: InputChange) -> None:
        line = getattr(self._config.door.inputs, change.input.value)
        assert isinstance(line, FileInputConfig)
        line.path.write_text("1" if change.active else "0", encoding="ascii")

    def _send_command(self, request: OperatorRequest, say: Callable[[str], None]) -> None:
        refused = self._door.command(request.command.value, request.note)
        if refused is not None:
            say(f"  The door refuses: {describe_refusal(refused)}")
