"""The capture thread and its one-frame slot: the newest frame wins, a camera that hangs or goes is a declared state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge.camera import Camera
from edge.errors import CameraError
from edge.values import Frame

log = logging.getLogger(__name__)

_BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_HUNG_S = 5.0
_HUNG_MAX = 5


class Slot:
    """Holds at most one frame. With `lockstep` a writer waits until it was taken, so that no frame is lost."""

    def __init__(self, *, lockstep: bool = False) -> None:
        self._condition = threading.Condition()
        self._lockstep = lockstep
        self._frame: Frame | None = None
        self._ended = False
        self.dropped = 0

    def put(self, frame: Frame) -> None:
        with self._condition:
            while self._lockstep and self._frame is not None and not self._ended:
                self._condition.wait()
            if self._frame is not None:
                self.dropped += 1
            self._frame = frame
            self._condition.notify_all()

    def take(self, timeout_s: float) -> Frame | None:
        """The newest frame not taken yet; None when none came in time or the recording ended."""
        with self._condition:
            self._condition.wait_for(lambda: self._frame is not None or self._ended, timeout_s)
            frame, self._frame = self._frame, None
            self._condition.notify_all()
            return frame

    def end(self) -> None:
        """No more frames will come."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    @property
    def ended(self) -> bool:
        """Whether the recording is over and its last frame was taken."""
        with self._condition:
            return self._ended and self._frame is None


class Capture:
    """Keeps a camera open in a thread of its own and says whether it is alive.

    A read that blocks for ever cannot be interrupted: its thread is given up and another one opens the camera anew.
    """

    def __init__(self, open_camera: Callable[[], Camera], *, lockstep: bool = False, first: Camera | None = None) -> None:
        self._open_camera = open_camera
        self._slot = Slot(lockstep=lockstep)
        self._lockstep = lockstep
        self._stop = threading.Event()
        self._alive_at = time.monotonic()
        self._given_up = 0
        self.lost: str | None = None  # why there are no frames, None while they come
        self._start(first)

    @property
    def ended(self) -> bool:
        return self._slot.ended

    @property
    def dropped(self) -> int:
        return self._slot.dropped

    def take(self, timeout_s: float) -> Frame | None:
        """The newest frame, None where none came in time; raises CameraError when too many reads have hung for good."""
        frame = self._slot.take(timeout_s)
        if frame is None and not self._slot.ended and not self._lockstep and self.lost is None:
            silent_s = time.monotonic() - self._alive_at
            if silent_s > _HUNG_S:
                self._give_up(silent_s)
        return frame

    def close(self) -> None:
        self._stop.set()
        self._slot.end()

    def _start(self, camera: Camera | None) -> None:
        generation = self._given_up
        self._alive_at = time.monotonic()
        threading.Thread(target=self._run, args=(camera, generation), name="capture", daemon=True).start()

    def _give_up(self, silent_s: float) -> None:
        self._given_up += 1
        if self._given_up > _HUNG_MAX:
            raise CameraError(f"the camera hung {self._given_up} times; ending so that the service starts afresh")
        log.error("no frame for %.1f s: the camera's read hangs, opening it anew", silent_s)
        self._start(None)

    def _current(self, generation: int) -> bool:
        return not self._stop.is_set() and generation == self._given_up

    def _run(self, camera: Camera | None, generation: int) -> None:
        failures = 0
        while self._current(generation):
            try:
                camera = camera or self._open_camera()
                while self._current(generation):
                    frame = camera.read()
                    if not self._current(generation):
                        break
                    if frame is None:
                        self._slot.end()
                        return
                    if self.lost is not None:
                        log.warning("the camera is back")
                    self.lost, self._alive_at, failures = None, time.monotonic(), 0
                    self._slot.put(frame)
            except CameraError as error:
                if self._current(generation):
                    if self.lost is None:
                        log.error("camera lost: %s", error)
                    self.lost = str(error)
            finally:
                if camera is not None:
                    camera.close()
                    camera = None
            if self._current(generation):
                self._stop.wait(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
                failures += 1
                self._alive_at = time.monotonic()
