"""Capture thread with a one-frame slot: the newest frame wins, and a lost camera is a state."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable

from edge.camera import Camera
from edge.errors import CameraError, without_credentials
from edge.values import FRAME_AGE_MAX_S, Frame

log = logging.getLogger(__name__)

BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_S = 10.0  # after this time of frames a camera is opened again without a longer pause
_SILENT_S = 8.0  # without a frame the camera counts as lost, also while a read blocks
HUNG_S = 15.0  # opening a network stream takes seconds as well
_HUNG_MAX = 5  # threads that hang in the driver; only the end of the process frees them
_REMIND_S = 600.0  # after this time an unchanged loss is logged again
_REASON_S = 60.0  # after this time a loss with another reason is logged
_SILENT = "no frame for some seconds; the camera or its driver does not answer"
CLOSE_S = 2.0  # a frame takes far less; a read that hangs is not waited for


class FrameSlot:
    """Holds at most one frame. With `lockstep` a writer waits until it is taken: none is lost."""

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
        """Return the newest frame not taken yet, None if none came in time or at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._frame is not None or self._ended, timeout_s)
            frame, self._frame = self._frame, None
            self._condition.notify_all()
            return frame

    def end(self) -> None:
        """Mark the end of the recording."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    @property
    def ended(self) -> bool:
        """True if the recording is over and its last frame was taken."""
        with self._condition:
            return self._ended and self._frame is None


class Capture:
    """Keeps a camera open in a thread and reports if it is lost.

    A read that blocks for ever cannot be interrupted: its thread is abandoned, and another thread
    opens the camera again.
    """

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        *,
        lockstep: bool = False,
        first: Camera | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_camera = open_camera
        self._clock = clock
        self._slot = FrameSlot(lockstep=lockstep)
        self._lockstep = lockstep
        self._stop = threading.Event()
        self._in_driver_since: float | None = None  # None while it waits before the next attempt
        self._given_up: list[threading.Thread] = []
        self._frame_at = clock()
        self._error: str | None = None
        self._reported: tuple[str, float, float] | None = None  # reason, when logged, since when
        self.stale = 0  # frames that were too old when they were taken
        self._start(first)

    @property
    def lost(self) -> str | None:
        """Reason why there are no frames, None while they come; without credentials."""
        if self._error is not None:
            return self._error
        is_silent = not self._lockstep and self._clock() - self._frame_at > _SILENT_S
        return _SILENT if is_silent and not self._slot.ended else None

    @property
    def ended(self) -> bool:
        return self._slot.ended

    @property
    def dropped(self) -> int:
        return self._slot.dropped

    def take(self, timeout_s: float) -> Frame | None:
        """Return the newest frame, None if no frame that is new enough came in time.

        Raises CameraError when too many threads hang in the driver.
        """
        frame = self._slot.take(timeout_s)
        since = self._in_driver_since
        if frame is None and since is not None and not self._slot.ended and not self._lockstep:
            silent_s = self._clock() - since
            if silent_s > HUNG_S:
                self._give_up()
        self._report()
        if frame is None or self._lockstep or self._clock() - frame.at <= FRAME_AGE_MAX_S:
            return frame
        self.stale += 1
        return None

    def close(self) -> None:
        """Release the camera. Waits for the read in progress.

        A read that returns while Python ends would abort the process.
        """
        self._stop.set()
        self._slot.end()
        self._thread.join(CLOSE_S)

    def _start(self, camera: Camera | None) -> None:
        generation = len(self._given_up)
        self._in_driver_since = self._clock()
        self._thread = threading.Thread(
            target=self._run, args=(camera, generation), name="capture", daemon=True
        )
        self._thread.start()

    def _give_up(self) -> None:
        self._given_up.append(self._thread)
        hung = sum(thread.is_alive() for thread in self._given_up)
        if hung > _HUNG_MAX:
            raise CameraError(
                f"the camera hung {hung} times and its driver holds a thread each time; only a "
                "restart of the process frees them, so it ends; is the camera or its cable broken?"
            )
        self._error = _SILENT
        self._start(None)

    def _report(self) -> None:
        """Log a loss when it begins, rarely while it lasts, and when it is over."""
        lost, now = self.lost, self._clock()
        if lost is None:
            if self._reported is not None:
                log.warning("the camera is back after %.0f s", now - self._reported[2])
            self._reported = None
            return
        reason, logged_at, since = self._reported or ("", -math.inf, now)
        pause_s = _REMIND_S if lost == reason else _REASON_S
        if now - logged_at >= pause_s:
            log.error("camera lost%s: %s", " still" if reason == lost else "", lost)
            self._reported = lost, now, since

    def _current(self, generation: int) -> bool:
        return not self._stop.is_set() and generation == len(self._given_up)

    def _run(self, camera: Camera | None, generation: int) -> None:
        failures = 0
        while self._current(generation):
            began = self._clock()
            try:
                camera = camera or self._open_camera()
                if self._read_on(camera, generation):
                    return
            except Exception as error:  # drivers raise anything; a thread that ends is not noticed
                self._declare_lost(error, generation)
            finally:
                if camera is not None:
                    camera.close()
                    camera = None
            if self._current(generation):
                was_steady = self._frame_at - began > _STEADY_S
                failures = 0 if was_steady else failures
                self._in_driver_since = None
                self._stop.wait(BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])
                failures += 1
                self._in_driver_since = self._clock()

    def _read_on(self, camera: Camera, generation: int) -> bool:
        """Put frames into the slot until the camera is lost or replaced.

        Return True at the end of a recording.
        """
        while self._current(generation):
            self._in_driver_since = self._clock()
            frame = camera.read()
            if not self._current(generation):
                break
            if frame is None:
                self._slot.end()
                return True
            self._error = None
            self._frame_at = self._clock()
            self._slot.put(frame)
        return False

    def _declare_lost(self, error: Exception, generation: int) -> None:
        if not self._current(generation):
            return
        reason = without_credentials(str(error) or type(error).__name__)
        if not isinstance(error, CameraError) and reason != self._error:
            trace = "".join(traceback.format_exception(error))
            log.error("the camera failed in an unexpected way: %s", without_credentials(trace))
        self._error = reason
