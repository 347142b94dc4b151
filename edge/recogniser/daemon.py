"""Main loop of the recogniser: newest frame in, decisions recorded, grants requested."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from edge.access.messages import describe_thresholds
from edge.access.reasons import Reason
from edge.audit.clock import open_clock
from edge.audit.kinds import RecordEvent, RecordKind
from edge.camera import check_camera, open_camera
from edge.camera.capture import Capture
from edge.config import TerminalConfig
from edge.config.policy import NoLivenessConfig
from edge.config.recognition import ReplayCameraConfig
from edge.config.restart import check_unchanged
from edge.door.client import DoorClient
from edge.door.events import DoorRefusal
from edge.errors import MfsaError
from edge.gallery.confirmation import forget_confirmation, read_confirmation
from edge.gallery.database import EVIDENCE, Position
from edge.gallery.key import load_key_and_drop_privileges
from edge.recogniser.build import build_recogniser_settings, build_rules, open_recogniser
from edge.recogniser.claim_reader import ClaimReader
from edge.recogniser.clock_watch import ClockWatcher
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.recogniser.evidence import EvidenceExplainer
from edge.recogniser.frame_sharing import FrameSharing
from edge.recogniser.gallery_follower import GalleryFollower
from edge.recogniser.grant_requester import RETRY_GRANT_S, GrantOutcome, GrantRequester
from edge.recogniser.live_publisher import LivePublisher
from edge.recogniser.networks import open_explainer, open_networks
from edge.recogniser.panel_watcher import PanelGrant, PanelWatcher
from edge.system.lockfile import acquire_lock
from edge.system.systemd import SystemdNotifier
from edge.system.text import format_count
from edge.values import NOT_RECORDED, FaceResult, Frame, Verdict

log = logging.getLogger(__name__)

_FRAME_WAIT_S = 0.5  # longest wait for a frame in one turn of the loop
NO_LIVENESS = "liveness is off (no PAD): a photo of an enrolled person opens this door"
UNCERTIFIED = (
    "liveness is checked by layers that are not certified; docs/decision.md lists what they stop"
)


class Daemon:
    """Recogniser of a terminal.

    The constructor opens everything or raises. `run` returns after `stop`, or at the end of a
    recording.
    """

    def __init__(
        self,
        config: TerminalConfig,
        *,
        notifier: SystemdNotifier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        key = load_key_and_drop_privileges(config)
        self._lock_fd = acquire_lock(config.daemon_lock_path, "edge-daemon", "instance")
        self._config, self._clock, self._wall = config, clock, open_clock(config)
        # Plain attributes: a signal handler that takes a lock could wait for itself.
        self._is_stopping = self._must_reload = False
        networks = open_networks(config)
        confirmed = read_confirmation(config.gallery_confirmed_path)
        forget_confirmation(config.gallery_confirmed_path)
        self._recogniser = open_recogniser(config, networks, key, wall=self._wall, clock=clock)
        self._throttle = LogThrottle(clock)
        evidence_key = self._recogniser.store.read_secret(EVIDENCE)
        self._records = DecisionLog(config, evidence_key, self._wall, self._throttle)
        self._door = DoorClient(config.socket_path)
        lane = config.camera_lane
        self._grants = GrantRequester(self._door, lane, self._records, self._throttle)
        has_readers = any(reader.lane == lane for reader in config.door.readers)
        self._claims = ClaimReader(
            self._door, self._throttle, clock, lane=lane, has_readers=has_readers
        )
        self._panel = PanelWatcher(self._door, self._records, self._throttle, clock)
        self._evidence = EvidenceExplainer(
            open_explainer(networks.bundle), self._recogniser.gallery, self._records, self._throttle
        )
        self._follower = GalleryFollower(
            config, self._recogniser, self._records, self._throttle, clock
        )
        self._clock_watcher = ClockWatcher(
            config, self._wall, self._door, self._records, self._throttle, clock
        )
        self._notifier = notifier or SystemdNotifier()
        self._capture = _open_capture(config)
        self._sharing = FrameSharing(config, self._records)
        self._live = LivePublisher(config, self._recogniser, self._capture, clock)
        self._camera_lost_at: float | None = None
        self.frames = 0
        self._record_start(confirmed)

    def run(self, read_config: Callable[[], TerminalConfig]) -> None:
        """Run the loop; `read_config` reads the configuration again, for a reload.

        Raises EngineError or CameraError if only a new process can help.
        """
        self._log_start()
        self._notifier.ready()
        try:
            while not self._is_stopping:
                self.step()
                if self._must_reload:
                    self._reload(read_config)
                if self._capture.ended:
                    dropped = self._capture.dropped
                    log.info("the recording ended: %d frames, %d dropped", self.frames, dropped)
                    break
        finally:
            self.close()

    def step(self) -> None:
        """Wait for one frame and act on every face in it."""
        frame = self._capture.take(_FRAME_WAIT_S)
        lost = self._capture.lost
        self._notifier.alive(self._status(lost))
        self._note_camera(lost)
        self._clock_watcher.check()
        self._follower.refresh()
        self._records.append_handover()
        self._sharing.update()
        self._follow_panel()
        if frame is None:
            return
        self.frames += 1
        if self._sharing.is_active:
            self._sharing.publish(frame)
            self._live.show_enrollment(frame)
            return
        results = self._recogniser.pipeline.recognise(frame, self._claims.read())
        self._live.show_frame(frame, results)
        for result in results:
            if result.is_conclusive:
                self._act(frame, result)
        if not results:  # no one waits for the disk
            self._records.run_maintenance()

    def stop(self) -> None:
        """End the loop after the present frame; may be called from a signal handler."""
        self._is_stopping = True

    def request_reload(self) -> None:
        """Reload configuration and gallery after the present frame; for signal handlers."""
        self._must_reload = True

    def close(self) -> None:
        self._notifier.stopping()
        self._sharing.close()
        self._live.close()
        self._capture.close()
        self._recogniser.close()
        self._evidence.close()
        self._door.close()
        self._clock_watcher.save()
        self._records.close()
        self._notifier.close()
        os.close(self._lock_fd)

    def _act(self, frame: Frame, result: FaceResult) -> None:
        """Record a decision; request the door to open for a grant."""
        decision, migration = result.decision, self._recogniser.migration
        is_grant = decision.verdict is Verdict.GRANT
        if not is_grant and self._records.is_repeated(result):
            return
        model = self._recogniser.model
        if result.by_previous_model and migration is not None:
            model = migration.model[:12]
        record_id = self._records.append_decision(frame, result, model, self._recogniser.engine)
        if is_grant and decision.match is not None:
            self._request_grant(result, decision.match.subject, record_id)
        if record_id is not None:
            self._records.log_refusal(record_id, decision)
            explanation = self._evidence.explain(result)
            if explanation is not None:
                self._records.append_explanation(record_id, explanation)
            self._records.save_picture(record_id, result, explanation)

    def _request_grant(self, result: FaceResult, subject: str, record_id: int | None) -> None:
        outcome = GrantOutcome(is_unlocked=False, refusal=DoorRefusal.NOT_RECORDED)
        if record_id is not None or self._records.grants_unrecorded:
            outcome = self._grants.request(result.decision, subject, record_id or NOT_RECORDED)
        self._live.show_answer(result.track, result.decision.frame_at, outcome)
        if outcome.prompt is Reason.PANEL_DECIDES and outcome.grant is not None:
            watched = PanelGrant(outcome.grant, result.track, self._clock(), outcome.until)
            self._panel.watch(watched)
        elif not outcome.is_unlocked:
            retry_s = RETRY_GRANT_S
            if outcome.prompt is not None:  # the door keeps the face until then
                retry_s = max(retry_s, outcome.until - self._clock())
            self._recogniser.pipeline.revoke_grant(result.track, subject, retry_s)
        elif result.by_previous_model:
            self._enroll_for_new_model(result.track, subject)

    def _follow_panel(self) -> None:
        """Show the answer of the panel; let a person try again after a refusal."""
        if (answered := self._panel.update()) is None:
            return
        asked, is_granted = answered.asked, answered.is_granted
        self._live.show_panel_answer(asked.track, answered.verdict, is_granted=is_granted)
        if not is_granted:
            retry_s = self._clock() - asked.asked_at + RETRY_GRANT_S
            self._recogniser.pipeline.revoke_grant(asked.track, asked.grant.subject, retry_s)

    def _enroll_for_new_model(self, track: int, subject: str) -> None:
        """Enroll a person for the new model who was granted access by the previous one."""
        migration = self._recogniser.migration
        if migration is None or not (templates := migration.enroll(track, subject)):
            return
        pending = len(migration.pending_subjects)
        fields = {"subject": subject, "templates": templates, "left": pending}
        self._records.append_event({"kind": RecordKind.CHANGEOVER, **fields})

    def _reload(self, read_config: Callable[[], TerminalConfig]) -> None:
        """Reload all or nothing: on any error everything stays as it was."""
        self._must_reload = False
        self._notifier.reloading()
        recogniser = self._recogniser
        try:
            config = read_config()
            check_unchanged(self._config, config, "recogniser")
            settings = build_recogniser_settings(
                config, recogniser.networks, recogniser.migration, self._wall
            )
            self._follower.reload()
        except MfsaError as error:
            log.error("reload failed, configuration and gallery stay as they were: %s", error)
        else:
            self._config = config
            settings.apply(recogniser.pipeline, recogniser.migration)
            self._follower.update_config(config)
            self._records.update_config(config)
            self._live.update_config(config)
            log.info("configuration and gallery were read again")
        self._notifier.ready()

    def _record_start(self, confirmed: Position | None) -> None:
        """Record the start, and a gallery older than the previous process confirmed."""
        recogniser = self._recogniser
        self._records.start(
            {"model": recogniser.model, "engine": recogniser.engine, **self._follower.size}
        )
        if confirmed is not None and confirmed.revision > recogniser.gallery.revision:
            self._follower.record_rollback(confirmed.revision)
        self._follower.confirm()

    def _note_camera(self, lost: str | None) -> None:
        """Record when the camera was lost and when it came back; the capture logs it."""
        self._live.note_camera(is_lost=lost is not None)
        if lost is not None and self._camera_lost_at is None:
            self._camera_lost_at = self._clock()
            self._records.append_event(
                {"kind": RecordKind.CAMERA, "event": RecordEvent.CAMERA_LOST, "reason": lost}
            )
        elif lost is None and self._camera_lost_at is not None:
            lost_s = round(self._clock() - self._camera_lost_at)
            self._camera_lost_at = None
            fields = {"kind": RecordKind.CAMERA, "event": RecordEvent.CAMERA_BACK, "lost_s": lost_s}
            self._records.append_event(fields)

    def _status(self, lost: str | None) -> str:
        """Return the status for systemd and operators; it names an engine used as a fallback."""
        shared = ", shared with an enrollment: no one is admitted"
        frames = f"{self.frames} frames{shared if self._sharing.is_active else ''}"
        status = f"camera lost: {lost}" if lost else frames
        if self._follower.refusal:
            status = f"{self._follower.refusal}: all people are refused; {status}"
        fallback = self._recogniser.networks.fallback
        if not fallback:
            return status
        return f"{status}; {self._recogniser.engine} instead of TensorRT: {fallback}"

    def _log_start(self) -> None:
        config, recogniser = self._config, self._recogniser
        log.warning(NO_LIVENESS if isinstance(config.liveness, NoLivenessConfig) else UNCERTIFIED)
        subjects = recogniser.gallery.index.subjects
        log.info(
            "running with %s, model %s on %s",
            format_count(subjects, "subject"),
            recogniser.model,
            recogniser.engine,
        )
        rules = build_rules(config.policy, recogniser.networks.calibration)
        log.info("%s", describe_thresholds(rules, recogniser.gallery.templates))


def _open_capture(config: TerminalConfig) -> Capture:
    lockstep = isinstance(config.camera, ReplayCameraConfig) and config.camera.lockstep
    check_camera(config.camera)
    return Capture(lambda: open_camera(config.camera), lockstep=lockstep)
