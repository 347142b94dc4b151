"""A camera by OpenCV: V4L2 devices, RTSP streams and files."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
from cv2.utils import logging

from edge.camera.pixels import to_bgr
from edge.errors import CameraError, describe_source
from edge.values import Frame

# Errors only: a camera that is lost is told once, by us, and not at every attempt.
logging.setLogLevel(logging.LOG_LEVEL_ERROR)


class OpencvCamera:
    """`read` blocks as long as the driver does; the capture thread's owner keeps the deadline."""

    def __init__(
        self,
        source: int | str,
        *,
        width: int | None = None,
        height: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._clock = clock
        self._number = 0
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(
                f"camera {describe_source(source)} cannot be opened; is it plugged in, free, and may this account read it?"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if width:
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        if height:
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)

    def read(self) -> Frame | None:
        done, image = self._capture.read()
        if not done:
            raise CameraError(
                f"camera {describe_source(self._source)} gave no frame; it was unplugged, or the stream ended"
            )
        frame = Frame(to_bgr(image, describe_source(self._source)), self._clock(), self._number)
        self._number += 1
        return frame

    def close(self) -> None:
        self._capture.release()
