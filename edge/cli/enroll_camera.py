"""Enrollment at the camera: hints on one line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from edge.config import TerminalConfig
from edge.people.capture import capture_poses, open_any_camera
from edge.people.enrollment import EnrollmentContext

if TYPE_CHECKING:
    from edge.gallery.enrollment.photos import FaceSample
    from edge.gallery.enrollment.pose_guide import PoseGuide


def capture_from_camera(
    config: TerminalConfig, context: EnrollmentContext, *, frontal_only: bool
) -> list[FaceSample]:
    """Capture a sample for each pose; raises PhotoError no-pose, CameraError, EngineError."""
    from edge.gallery.enrollment.pose_guide import FRONTAL_ONLY, POSES, PoseGuide

    camera = open_any_camera(config, lambda text: print(f"  {text}", file=sys.stderr))
    guide = PoseGuide(FRONTAL_ONLY if frontal_only else POSES, began_at=time.monotonic())
    line = _HintLine(guide)
    try:
        taken = capture_poses(camera, guide, context, line.show)
    finally:
        line.end()
    if guide.missed:
        print(
            f"edge-enroll: poses not captured in time, skipped: {', '.join(guide.missed)}",
            file=sys.stderr,
        )
    return taken


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
