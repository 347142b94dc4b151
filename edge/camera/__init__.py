"""Frame sources: the Camera protocol, and the choice and checking of its implementation."""

from __future__ import annotations

import logging
from typing import Protocol

from edge.config.recognition import CameraConfig, CsiCameraConfig, ReplayCameraConfig
from edge.values import Frame

log = logging.getLogger(__name__)

_DEVICE_KEYS = ("width", "height", "fps", "pixel_format")


class Camera(Protocol):
    """A source of frames. `read` may block for as long as a driver does."""

    def read(self) -> Frame | None:
        """Return the next frame, None at the end of a recording.

        Raises CameraError if the camera is lost.
        """
        ...

    def close(self) -> None: ...


def open_camera(config: CameraConfig) -> Camera:
    """Open the camera of a config; raises CameraError with the remedy."""
    camera = _open(config)
    if not config.rotate and not config.mirror:
        return camera
    from edge.camera.oriented import OrientedCamera

    return OrientedCamera(camera, rotate=config.rotate, mirror=config.mirror)


def check_camera(config: CameraConfig) -> None:
    """Raise CameraError if waiting cannot help: unreadable recording, missing decoder."""
    if isinstance(config, ReplayCameraConfig):
        _open(config).close()
        return
    from edge.camera.opencv import check_backend, is_device

    if isinstance(config, CsiCameraConfig):
        check_backend(config.pipeline)
        return
    check_backend(config.source)
    requested = {key for key in _DEVICE_KEYS if getattr(config, key) is not None}
    if requested and not is_device(config.source):
        log.warning(
            "camera: `%s` is for V4L2 devices and has no effect here: set it in the camera "
            "or pipeline",
            "`, `".join(sorted(requested)),
        )


def _open(config: CameraConfig) -> Camera:
    if isinstance(config, ReplayCameraConfig):
        from edge.camera.replay import ReplayCamera

        return ReplayCamera(
            config.path, fps=config.fps, loop=config.loop, paced=not config.lockstep
        )
    from edge.camera.opencv import OpencvCamera

    if isinstance(config, CsiCameraConfig):
        return OpencvCamera(config.pipeline)
    return OpencvCamera(
        config.source,
        width=config.width,
        height=config.height,
        fps=config.fps,
        pixel_format=config.pixel_format,
    )
