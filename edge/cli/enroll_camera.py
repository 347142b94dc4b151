"""Enrollment at the camera: hints on one line, frames from the recogniser if it runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.camera import Camera, open_camera
from edge.camera.sharing import RemoteCamera
from edge.cli.enroll_common import EnrollmentContext
from edge.config import TerminalConfig
from edge.errors import AlreadyRunningError, CameraError
from edge.system.lockfile import acquire_lock
from edge.values import Frame

if TYPE_CHECKING:
    from edge.gallery.enrollment.photos import FaceSample
    from edge.gallery.enrollment.pose_guide import PoseGuide


def capture_from_camera(
    config: TerminalConfig, context: EnrollmentContext, *, frontal_only: bool
) -> list[FaceSample]:
    """Capture a sample for each pose; raises PhotoError no-pose, CameraError, EngineError."""
    from edge.gallery.enrollment.capture_session import capture_samples
    from edge.gallery.enrollment.pose_guide import FRONTAL_ONLY, POSES, PoseGuide

    camera = _open(config)
    guide = PoseGuide(FRONTAL_ONLY if frontal_only else POSES, began_at=time.monotonic())
    line = _HintLine(guide)
    try:
        line.show(guide.target.hint if guide.target else "")
        taken = []
        for sample in capture_samples(
            _frames(camera),
            guide,
            context.networks.detector,
            context.networks.embedder,
            context.requirements,
            line.show,
        ):
            taken.append(sample)
            line.show(guide.target.hint if guide.target else "the capture is finished")
    except CameraError as error:
        raise CameraError(
            f"enrollment from the camera failed: {error}; nothing was stored"
        ) from error
    finally:
        line.end()
        camera.close()
    if guide.missed:
        print(
            f"edge-enroll: poses not captured in time, skipped: {', '.join(guide.missed)}",
            file=sys.stderr,
        )
    return taken


def _open(config: TerminalConfig) -> Camera:
    """Open the recogniser's frames if it runs, else the camera.

    Raises CameraError, LockFileError.
    """
    if config.daemon_lock_path.exists():
        try:
            os.close(acquire_lock(config.daemon_lock_path, "edge-daemon", "instance"))
        except AlreadyRunningError:
            print(
                "  using the camera of edge-daemon, which grants no access until this ends",
                file=sys.stderr,
            )
            return RemoteCamera(config.enroll_socket_path)
    return open_camera(config.camera)


def _frames(camera: Camera) -> Iterator[Frame]:
    while (frame := camera.read()) is not None:
        yield frame


class _HintLine:
    """Latest hint and the number of captured poses on one line; in a file, one line per hint."""

    def __init__(self, guide: PoseGuide) -> None:
        self._guide = guide
        self._shown = ""
        self._is_live = sys.stderr.isatty()

    def show(self, words: str) -> None:
        line = f"  {len(self._guide.captured)} of {self._guide.total} poses done: {words}"
        if line == self._shown:
            return
        self._shown = line
        print(
            f"\r\x1b[K{line}" if self._is_live else line,
            end="" if self._is_live else "\n",
            file=sys.stderr,
            flush=True,
        )

    def end(self) -> None:
        if self._is_live:
            print(file=sys.stderr)
