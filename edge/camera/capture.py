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
_HUNG_S = 15.0  # opening a network stream takes seconds as well
_HUNG_MAX = 5
_CLOSE_S = 2.0  # a frame takes far less; a read that hangs is not waited for


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

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        *,
        lockstep: bool = False,
        first: Camera | None = None,
    ) -> None:
        self._open_camera = open_camera
        self._slot = Slot(lockstep=lockstep)
        self._lockstep = lockstep
        self._stop = threading.Event()
        self._in_driver_since: float | None = None  # None while it waits before the next attempt
        self._given_up = 0
        self._frames = 0
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
        since = self._in_driver_since
        if frame is None and since is not None and not self._slot.ended and not self._lockstep:
            silent_s = time.monotonic() - since
            if silent_s > _HUNG_S:
                self._give_up(silent_s)
        return frame

    def close(self) -> None:
        """Give the camera back. Waits for the read in progress: one that returns while Python ends would abort the process."""
        self._stop.set()
        self._slot.end()
        self._thread.join(_CLOSE_S)

    def _start(self, camera: Camera | None) -> None:
        generation = self._given_up
        self._in_driver_since = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, args=(camera, generation), name="capture", daemon=True
        )
        self._thread.start()

    def _give_up(self, silent_s: float) -> None:
        self._given_up += 1
        if self._given_up > _HUNG_MAX:
            raise CameraError(
                f"the camera hung {self._given_up} times; ending so that the service starts afresh"
            )
        log.error("no frame for %.1f s: the camera's read hangs, opening it anew", silent_s)
        self._start(None)

    def _current(self, generation: int) -> bool:
        return not self._stop.is_set() and generation == self._given_up

    def _run(self, camera: Camera | None, generation: int) -> None:
        failures = 0
        while self._current(generation):
            frames = self._frames
            try:
                camera = camera or self._open_camera()
                if self._read_on(camera, generation):
                    return
            except (
                Exception
            ) as error:  # drivers raise what they like, and a thread that ends would not be missed
                self._declare_lost(error, generation)
            finally:
                if camera is not None:
                    camera.close()
                    camera = None
            if self._current(generation):
                failures = 0 if self._frames > frames else failures
                self._in_driver_since = None
                self._stop.wait(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
                failures += 1
                self._in_driver_since = time.monotonic()

    def _read_on(self, camera: Camera, generation: int) -> bool:
        """Frames into the slot until the camera is lost, or no longer ours; whether a recording came to its end."""
        while self._current(generation):
            self._in_driver_since = time.monotonic()
            frame = camera.read()
            if not self._current(generation):
                break
            if frame is None:
                self._slot.end()
                return True
            if self.lost is not None:
                log.warning("the camera is back")
            self.lost = None
            self._frames += 1
            self._slot.put(frame)
        return False

    def _declare_lost(self, error: Exception, generation: int) -> None:
        if not self._current(generation):
            return
        if self.lost is None:
            log.error("camera lost: %s", error)
        if not isinstance(error, CameraError):
            log.error("the camera failed in an unexpected way", exc_info=error)
        self.lost = str(error) or type(error).__name__
