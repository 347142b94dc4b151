"""Live view of the main loop for other processes; publishing never waits and never fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from edge.camera.capture import Capture
from edge.config import TerminalConfig
from edge.live.protocol import Camera, DoorState, LiveDoorAnswer, LiveStatistics
from edge.recogniser.build import Recogniser
from edge.recogniser.grant_requester import GrantOutcome
from edge.recogniser.live_faces import LiveFaces, ShownFace
from edge.recogniser.live_server import LiveMessage, LiveScene, LiveServer
from edge.recogniser.loop_statistics import LoopStatistics
from edge.values import FaceResult, Frame

log = logging.getLogger(__name__)


class LivePublisher:
    """Publishes frames, decisions and answers of the door, and counts them."""

    def __init__(
        self,
        config: TerminalConfig,
        recogniser: Recogniser,
        capture: Capture,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._recogniser, self._capture = recogniser, capture
        self._clock, self._wall = clock, wall
        self._started = wall()
        self._statistics = LoopStatistics()
        self._zone = config.detector.zone
        self._live_faces = LiveFaces(config.detector.search_interval_s)
        self._camera: Camera = "ready"
        self._frame: Frame | None = None
        self._number = -1
        self._faces: tuple[ShownFace, ...] = ()
        self._answer: LiveDoorAnswer | None = None
        self._server = self._open_server(config)

    def update_config(self, config: TerminalConfig) -> None:
        """Apply another zone and search interval from the next frame on."""
        self._zone = config.detector.zone
        self._live_faces.update_interval(config.detector.search_interval_s)

    def note_camera(self, *, is_lost: bool) -> None:
        """Publish that the camera was lost; the next frame shows that it is back."""
        if is_lost and self._camera != "lost":
            self._clear()
            self._camera, self._frame = "lost", None
            self._publish(self._clock())

    def show_frame(self, frame: Frame, results: Sequence[FaceResult]) -> None:
        """Publish a frame with its decisions, before they are acted on."""
        statistics, now = self._statistics, self._clock()
        statistics.frames += 1
        statistics.faces += len(results)
        for result in results:
            if result.is_conclusive:
                statistics.decision_s.add(now - frame.at)
        self._faces = self._live_faces.update(results, frame.at)
        self._camera, self._frame, self._number = "ready", frame, frame.number
        self._publish(frame.at)

    def show_enrollment(self, frame: Frame) -> None:
        """Publish a frame that an enrollment uses; no one is recognised in it."""
        self._statistics.frames += 1
        self._clear()
        self._camera, self._frame, self._number = "enrollment", frame, frame.number
        self._publish(frame.at)

    def show_answer(self, track: int, frame_at: float, outcome: GrantOutcome) -> None:
        """Publish the answer of the door to the request for a track."""
        if outcome.is_answered:
            self._statistics.answer_s.add(self._clock() - frame_at)
        if outcome.prompt is None:
            self._show(track, "unlocked" if outcome.is_unlocked else "refused", outcome.refusal)
        else:
            prompt, missing, until = outcome.prompt, outcome.missing, outcome.until
            self._show(track, "waiting", prompt, missing=missing, until=until)

    def show_panel_answer(self, track: int, verdict: str, *, is_granted: bool) -> None:
        """Publish what the access control panel decided about a request that waited for it."""
        self._show(track, "unlocked" if is_granted else "refused", "" if is_granted else verdict)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _show(
        self,
        track: int,
        state: DoorState,
        reason: str,
        *,
        missing: tuple[str, ...] = (),
        until: float | None = None,
    ) -> None:
        self._answer = LiveDoorAnswer(
            track=track,
            state=state,
            reason=str(reason),
            missing=missing,
            at=self._clock(),
            until=until,
        )
        if self._frame is not None:
            self._publish(self._frame.at)

    def _clear(self) -> None:
        self._live_faces.clear()
        self._faces, self._answer = (), None

    def _publish(self, at: float) -> None:
        if self._server is not None:
            self._server.publish(self._message(at))

    def _message(self, at: float) -> LiveMessage:
        now, answer = self._clock(), self._answer
        if answer is not None and answer.until is not None and answer.until <= now:
            answer = self._answer = None  # the request ended; the door does not report it
        scene = LiveScene(
            at=at,
            wall=self._wall() - (now - at),
            number=self._number,
            camera=self._camera,
            frame=self._frame,
            zone=self._zone,
            faces=self._faces,
            answer=answer,
        )
        return LiveMessage(scene, self._read_statistics)

    def _read_statistics(self) -> LiveStatistics:
        """Return the counters; called by threads of the server."""
        counted, recogniser = self._statistics, self._recogniser
        return LiveStatistics(
            started=self._started,
            frames=counted.frames,
            dropped=self._capture.dropped + self._capture.stale,
            faces=counted.faces,
            decision_s=counted.decision_s.read(),
            answer_s=counted.answer_s.read(),
            engine=recogniser.engine,
            model=recogniser.model,
            subjects=recogniser.gallery.index.subjects,
            templates=recogniser.gallery.templates,
            supported_templates=recogniser.networks.calibration.gallery_size,
        )

    def _open_server(self, config: TerminalConfig) -> LiveServer | None:
        """Open the socket; None if that fails: the door works without."""
        path = config.live_socket_path
        try:
            return LiveServer(path, self._message(self._clock()))
        except OSError as error:
            log.error(
                "%s: the live view is not available: %s; check the folder and its rights",
                path,
                error.strerror or error,
            )
            return None
