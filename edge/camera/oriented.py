"""Camera whose frames are turned and mirrored as configured."""

from __future__ import annotations

from dataclasses import replace

from edge.camera import Camera
from edge.camera.pixels import orient
from edge.values import Frame


class OrientedCamera:
    """Turns each frame clockwise by `rotate` degrees, then swaps left and right if `mirror`."""

    def __init__(self, camera: Camera, *, rotate: int, mirror: bool) -> None:
        self._camera, self._rotate, self._mirror = camera, rotate, mirror

    def read(self) -> Frame | None:
        frame = self._camera.read()
        if frame is None:
            return None
        return replace(frame, image=orient(frame.image, self._rotate, mirror=self._mirror))

    def close(self) -> None:
        self._camera.close()
