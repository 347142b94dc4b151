"""Capture of an enrollment's samples at the camera, from the recogniser's frames if it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from edge.camera import Camera, open_camera
from edge.camera.sharing import RemoteCamera
from edge.config import TerminalConfig
from edge.errors import AlreadyRunningError, CameraError
from edge.people.enrollment import EnrollmentContext
from edge.system.lockfile import acquire_lock
from edge.values import Frame

if TYPE_CHECKING:
    from edge.gallery.enrollment.photos import FaceSample
    from edge.gallery.enrollment.pose_guide import PoseGuide

Show = Callable[[str], None]  # receives a hint for the person


def capture_poses(
    camera: Camera, guide: PoseGuide, context: EnrollmentContext, show: Show
) -> list[FaceSample]:
    """Capture a sample for each pose, and close the camera.

    Raises PhotoError no-pose, CameraError, EngineError, and what `show` raises.
    """
    from edge.gallery.enrollment.capture_session import capture_samples
    from edge.gallery.enrollment.pose_guide import EnrollmentHint

    taken: list[FaceSample] = []
    networks = context.networks
    with closing(camera):
        show(guide.target.hint if guide.target else "")
        try:
            for sample in capture_samples(
                _frames(camera),
                guide,
                networks.detector,
                networks.embedder,
                context.requirements,
                show,
            ):
                taken.append(sample)
                show(guide.target.hint if guide.target else EnrollmentHint.FINISHED.sentence)
        except CameraError as error:
            raise CameraError(
                f"enrollment from the camera failed: {error}; nothing was stored"
            ) from error
    return taken


def open_shared_camera(config: TerminalConfig) -> Camera | None:
    """Open the frames of the recogniser, None if it does not run.

    Raises CameraError, LockFileError.
    """
    if config.daemon_lock_path.exists():
        try:
            os.close(acquire_lock(config.daemon_lock_path, "edge-daemon", "instance"))
        except AlreadyRunningError:
            return RemoteCamera(config.enroll_socket_path)
    return None


def open_any_camera(config: TerminalConfig, warn: Callable[[str], None]) -> Camera:
    """Open the frames of the recogniser if it runs, else the camera.

    Raises CameraError, LockFileError.
    """
    shared = open_shared_camera(config)
    if shared is None:
        return open_camera(config.camera)
    warn("using the camera of edge-daemon, which grants no access until this ends")
    return shared


def _frames(camera: Camera) -> Iterator[Frame]:
    while (frame := camera.read()) is not None:
        yield frame
