"""Camera through OpenCV: V4L2 devices, network streams and GStreamer pipelines."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import cv2

from edge.camera.pixels import to_bgr
from edge.camera.timing import DeviceTimes, FrameTimes, PaceTimes, StreamTimes
from edge.errors import CameraError, describe_source
from edge.values import FRAME_AGE_MAX_S, Frame

log = logging.getLogger(__name__)

# OpenCV's own messages quote addresses with their passwords, and come at every attempt.
_messages = getattr(cv2.utils, "logging", None)  # before 4.8 the environment alone decides
if _messages is not None:
    _messages.setLogLevel(_messages.LOG_LEVEL_SILENT)

_TIMEOUT_MS = 5000  # of opening and of each read, for network streams
_TICK_S = 1e-4  # two frames never have one time
_LATE_MAX_S = 5.0  # frames that are late for this time count as a lost camera
_BACKENDS = {cv2.CAP_V4L2: "V4L2", cv2.CAP_FFMPEG: "FFmpeg", cv2.CAP_GSTREAMER: "GStreamer"}
_REMEDIES = {
    cv2.CAP_V4L2: "is it plugged in, free, and may this account read it?",
    cv2.CAP_FFMPEG: "is it on and reachable, and are account, password and path right?",
    cv2.CAP_GSTREAMER: "try it with gst-launch-1.0: are elements installed, is the camera there?",
}
_STAMPED = ("rtsp", "rtmp", "rtp", "udp", "tcp", "srt")  # schemes of streams with timestamps


def check_backend(source: int | str) -> None:
    """Raise CameraError if this OpenCV cannot open such a source at all."""
    backend = _backend(source)
    if not cv2.videoio_registry.hasBackend(backend):
        raise CameraError(
            f"camera {describe_source(source)} needs {_BACKENDS[backend]}, which this OpenCV "
            f"({cv2.__version__}) was built without; on a Jetson use JetPack's OpenCV in an "
            "environment with --system-site-packages"
        )


def is_device(source: int | str) -> bool:
    """Return True if a source is a V4L2 device."""
    return _backend(source) == cv2.CAP_V4L2


class OpencvCamera:
    """Camera through OpenCV. `read` blocks as long as the driver does.

    Frames that may be older than a second are dropped.
    """

    def __init__(
        self,
        source: int | str,
        *,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        pixel_format: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = describe_source(source)
        self._clock = clock
        self._number = 0
        self._last_at = 0.0
        began = clock()
        self._capture = _open(source)
        if is_device(source):
            self._set_up(width, height, fps, pixel_format)
        self._times = _times(source, clock() - began)
        self._late_since = math.inf

    def read(self) -> Frame | None:
        """Return the next frame that is not too old; raises CameraError if the source ends."""
        while True:
            done, image = self._capture.read()
            read_at = self._clock()
            if not done:
                raise CameraError(
                    f"camera {self._name} gave no frame; it was unplugged or hangs, or the "
                    "stream ended"
                )
            at = self._times.exposure_at(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, read_at)
            if at is not None:
                return self._frame(image, at, read_at)
            self._late_since = min(self._late_since, read_at)
            if read_at - self._late_since > self._patience_s:
                raise CameraError(
                    f"camera {self._name} delivers frames late or in bursts; is the network or "
                    "this machine too slow for it? Choose a smaller picture or a lower frame rate"
                )

    def close(self) -> None:
        self._capture.release()

    def _frame(self, image: Any, at: float, read_at: float) -> Frame:
        self._late_since = math.inf
        self._last_at = min(max(at, self._last_at + _TICK_S), read_at)
        frame = Frame(to_bgr(image, self._name), self._last_at, self._number)
        self._number += 1
        return frame

    @property
    def _patience_s(self) -> float:
        """Seconds for which frames may be late; longer while the source settles."""
        return _LATE_MAX_S if self._number else 2 * _LATE_MAX_S

    def _set_up(
        self, width: int | None, height: int | None, fps: float | None, pixel_format: str | None
    ) -> None:
        """Ask a device for the configured values; log the values that it did not accept."""
        code = cv2.VideoWriter.fourcc(*pixel_format) if pixel_format else None
        requested = {  # in this order: the format decides which sizes and rates there are
            "pixel_format": (cv2.CAP_PROP_FOURCC, code),
            "width": (cv2.CAP_PROP_FRAME_WIDTH, width),
            "height": (cv2.CAP_PROP_FRAME_HEIGHT, height),
            "fps": (cv2.CAP_PROP_FPS, fps),
        }
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        wanted = {
            key: (prop, value) for key, (prop, value) in requested.items() if value is not None
        }
        for prop, value in wanted.values():
            self._capture.set(prop, value)
        for key, (prop, value) in wanted.items():
            found = self._capture.get(prop)
            if abs(found - value) > 0.5:
                shown = _fourcc(found) if key == "pixel_format" else f"{found:g}"
                log.warning("camera %s: `%s` is %s, not as configured", self._name, key, shown)


def _open(source: int | str) -> cv2.VideoCapture:
    """Open a source by its backend; raises CameraError."""
    backend = _backend(source)
    network = backend == cv2.CAP_FFMPEG
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS
    ] if network else []  # fmt: skip
    try:
        capture = cv2.VideoCapture(source, backend, timeouts)
    except (cv2.error, ValueError) as error:
        raise CameraError(f"camera {describe_source(source)} cannot be opened") from error
    if capture.isOpened():
        return capture
    capture.release()
    check_backend(source)
    raise CameraError(f"camera {describe_source(source)} cannot be opened; {_REMEDIES[backend]}")


def _backend(source: int | str) -> int:
    text = str(source)
    if "!" in text:
        return cv2.CAP_GSTREAMER
    return cv2.CAP_FFMPEG if "://" in text else cv2.CAP_V4L2


def _times(source: int | str, opening_s: float) -> FrameTimes:
    if is_device(source):
        return DeviceTimes(FRAME_AGE_MAX_S, opening_s)
    scheme = str(source).partition("://")[0].lower()
    if "!" not in str(source) and scheme.startswith(_STAMPED):
        return StreamTimes(FRAME_AGE_MAX_S, opening_s)
    return PaceTimes(FRAME_AGE_MAX_S, opening_s)


def _fourcc(code: float) -> str:
    """Return the four characters of a code."""
    return int(code).to_bytes(4, "little").decode("ascii", "replace")
