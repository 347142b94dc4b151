"""Frames of the recogniser's camera for an enrollment; recognition pauses during it."""

from __future__ import annotations

import logging

from edge.audit.kinds import RecordEvent, RecordKind
from edge.camera.sharing import FrameServer, FrameSession, SessionEnd
from edge.config import TerminalConfig
from edge.errors import CameraError
from edge.recogniser.decision_log import DecisionLog
from edge.values import Frame

log = logging.getLogger(__name__)


class FrameSharing:
    """Publishes frames to an enrollment, and records its begin and end."""

    def __init__(self, config: TerminalConfig, records: DecisionLog) -> None:
        self._records = records
        self._server = _open_server(config)
        self._session: FrameSession | None = None

    @property
    def is_active(self) -> bool:
        """True while an enrollment uses the camera."""
        return self._session is not None

    def update(self) -> None:
        """Note whether an enrollment has begun or ended."""
        session = self._server.session if self._server is not None else None
        if session is not self._session:
            self._note(session)

    def publish(self, frame: Frame) -> None:
        """Send a frame to the present enrollment; never waits."""
        if self._server is not None and self._session is not None:
            self._server.publish(frame)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._session is not None:
            self._note(None)

    def _note(self, session: FrameSession | None) -> None:
        """Record the end of one enrollment, the begin of another, or both."""
        ended, self._session = self._session, session
        if ended is not None:
            fields = {
                "event": RecordEvent.END,
                "account": ended.account,
                "reason": ended.ended or SessionEnd.CLOSED,
                "frames": ended.frames,
            }
            self._records.append_event({"kind": RecordKind.ENROLLMENT, **fields})
        if session is not None:
            fields = {"event": RecordEvent.BEGIN, "account": session.account}
            self._records.append_event({"kind": RecordKind.ENROLLMENT, **fields})
        outcome = "has ended" if session is None else "begins: no one is admitted until it ends"
        log.info("enrollment from this camera %s", outcome)


def _open_server(config: TerminalConfig) -> FrameServer | None:
    """Open the socket for enrollments; None if that fails: the door works without."""
    try:
        return FrameServer(config.enroll_socket_path)
    except CameraError as error:
        log.error("enrollments cannot use the camera of edge-daemon: %s", error)
        return None
