"""Where frames come from: the Camera protocol and the choice of its implementation."""

from __future__ import annotations

from typing import Protocol

from edge.config.sensing import Camera as CameraConfig
from edge.config.sensing import ReplayCamera as ReplayConfig
from edge.values import Frame


class Camera(Protocol):
    """A source of frames. `read` may block for as long as a driver does."""

    def read(self) -> Frame | None:
        """The next frame, None at the end of a recording; raises CameraError where the camera is lost."""
        ...

    def close(self) -> None: ...


def open_camera(config: CameraConfig) -> Camera:
    """The camera of a config; raises CameraError that says what to do."""
    if isinstance(config, ReplayConfig):
        from edge.camera.replay import ReplayCamera

        return ReplayCamera(
            config.path, fps=config.fps, loop=config.loop, paced=not config.lockstep
        )
    from edge.camera.opencv import OpencvCamera

    return OpencvCamera(config.source, width=config.width, height=config.height)
