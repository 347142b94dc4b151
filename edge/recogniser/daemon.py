"""The recogniser's loop: newest frame in, decisions recorded, grants handed to the door."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from edge.access.policy import describe_thresholds
from edge.audit import handover, picture_store
from edge.audit.attention import overlay
from edge.audit.clock import CLOCK_TRUSTED, confirmation_field, open_clock, write_trust
from edge.audit.decision import decision_fields, door_fields
from edge.audit.retention import Retention
from edge.audit.sealing import picture_cipher, score_cipher
from edge.audit.writer import AuditLogWriter
from edge.camera import check_camera, open_camera
from edge.camera.capture import Capture
from edge.camera.sharing import FrameServer, FrameSession
from edge.config import TerminalConfig
from edge.config.access import NoLivenessConfig
from edge.config.recognition import ReplayCameraConfig
from edge.config.restart import check_unchanged
from edge.door.client import DoorClient
from edge.door.clock_trust import adopt_confirmation, describe_doubt
from edge.errors import CameraError, DoorError, GalleryError, MfsaError, RecordError
from edge.gallery.confirmation import forget_confirmation, read_confirmation, write_confirmation
from edge.gallery.database import EVIDENCE, Position
from edge.gallery.key import load_key_and_drop_privileges
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.outage import GalleryOutage
from edge.gallery.schema import LOOP_LOCK_WAIT_S
from edge.gallery.store import GalleryStore, open_store
from edge.recogniser.build import build_recogniser_settings, build_rules, open_pipeline
from edge.recogniser.model_migration import open_model_migration
from edge.recogniser.networks import TerminalNetworks, open_networks
from edge.system.lockfile import acquire_lock
from edge.system.systemd import SystemdNotifier
from edge.system.wallclock import REMEDY, ClockDoubt
from edge.values import NOT_RECORDED, Decision, FaceResult, Frame, Grant, Verdict

log = logging.getLogger(__name__)

_TAKE_S = 0.5
_REPEAT_S = 1.0  # an unchanged verdict is recorded again after this time
_ASK_AGAIN_S = 1.0  # a door that did not open is asked again after this time
_CONFIRM_AGAIN_S = 1.0  # pause after a confirmation that could not be written
_CLOCK_S = 1.0  # interval of clock checks
_ASK_CLOCK_S = 5.0  # interval of asking the door for a confirmation while the clock is in doubt
_KEEP_CLOCK_S = 60.0  # interval of writing the belief in the clock
_COMPLAIN_S = 10.0  # an unchanged trouble is logged again after this time
NO_LIVENESS = "liveness is off (no PAD): a photo of an enrolled person opens this door"
UNCERTIFIED = (
    "liveness is checked by layers that nobody certified; docs/decision.md says what they stop"
)


def _open_gallery(config: TerminalConfig, networks: TerminalNetworks, key: bytes) -> GalleryStore:
    """Make or upgrade the gallery's file, then open it read-only for the loop."""
    model, changing = networks.bundle.model_digest, config.previous_bundle is not None
    open_store(config, model, key, allow_other_models=changing).close()
    return open_store(
        config,
        model,
        key,
        allow_other_models=changing,
        dimension=networks.embedder.dimension(),
        read_only=True,
        lock_wait_s=LOOP_LOCK_WAIT_S,
    )


def _open_capture(config: TerminalConfig) -> Capture:
    lockstep = isinstance(config.camera, ReplayCameraConfig) and config.camera.lockstep
    check_camera(config.camera)
    return Capture(lambda: open_camera(config.camera), lockstep=lockstep)


class Daemon:
    """One recogniser of one terminal. Built completely or not at all; `run` ends on `stop` or the end of a recording."""

    def __init__(
        self,
        config: TerminalConfig,
        *,
        notifier: SystemdNotifier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        key = load_key_and_drop_privileges(config)
        self._lock_fd = acquire_lock(config.daemon_lock_path, "edge-daemon")
        self._config = config
        self._clock = clock
        self._wall = open_clock(config)
        self._doubt: ClockDoubt | None = None
        self._clock_looked = self._clock_asked = self._clock_kept = -math.inf
        self._stopped = self._reload_asked = (
            False  # plain: a signal handler that takes a lock may wait for itself
        )
        networks = open_networks(config)
        model = networks.bundle.model_digest
        self._model, self._engine = model[:12], f"{networks.engine} {networks.precision}"
        self._fallback = networks.fallback
        self._networks = networks
        confirmed = read_confirmation(config.gallery_confirmed_path)
        forget_confirmation(config.gallery_confirmed_path)
        self._store = _open_gallery(config, networks, key)
        gallery = LiveGallery(self._store, clock=clock)
        self._outage = GalleryOutage(config.gallery.unreadable_s, clock())
        self._changeover = open_model_migration(config, model, key, build_rules)
        self._pipeline = open_pipeline(
            config,
            networks,
            gallery,
            people=gallery.find_record,
            wall=self._wall,
            changeover=self._changeover,
        )
        self._gallery = gallery
        self._read_evidence_key(config)
        self._record = AuditLogWriter(
            config.decisions_path,
            log_id=f"{config.terminal}/decisions",
            encrypt=lambda number, text: self._score_cipher.encrypt_text(number, text),
        )
        self._record.clock = self._wall
        self._keep_for(config)
        self._door = DoorClient(config.socket_path)
        self._notifier = notifier or SystemdNotifier()
        self._capture = _open_capture(config)
        self._lost_since: float | None = None
        self._lender = _open_lender(config)
        self._loan: FrameSession | None = None
        self._recorded: dict[tuple[str, str, str], float] = {}
        self._complained: dict[str, float] = {}
        self._refused: dict[str, float] = {}  # by reason: when it was logged
        self.frames = 0
        self._confirmed: Position | None = None
        self._confirm_at = clock()  # earliest time of the next confirmation
        self._open_record()
        if confirmed is not None and confirmed.revision > gallery.revision:
            self._note_older_gallery(confirmed.revision)
        self._confirm_gallery()

    def run(self, reread: Callable[[], TerminalConfig]) -> None:
        """The loop; `reread` gives the configuration as it is now. Raises EngineError or CameraError where only a fresh start
        can help."""
        log.warning(
            NO_LIVENESS if isinstance(self._config.liveness, NoLivenessConfig) else UNCERTIFIED
        )
        log.info(
            "running with %d subjects, model %s on %s",
            self._gallery.index.subjects,
            self._model,
            self._engine,
        )
        log.info(
            "%s",
            describe_thresholds(
                build_rules(self._config.policy, self._networks.calibration),
                self._gallery.templates,
            ),
        )
        self._notifier.ready()
        try:
            while not self._stopped:
                self.step()
                if self._reload_asked:
                    self._reload(reread)
                if self._capture.ended:
                    log.info(
                        "the recording is over after %d frames (%d dropped)",
                        self.frames,
                        self._capture.dropped,
                    )
                    break
        finally:
            self.close()

    def step(self) -> None:
        """Wait for one frame and act on every face in it."""
        frame = self._capture.take(_TAKE_S)
        lost = self._capture.lost
        self._notifier.alive(self._status(lost))
        self._note_camera(lost)
        self._watch_clock()
        self._refresh_gallery()
        self._record_handover()
        is_lent = self._lend(frame)
        if frame is None:
            return
        self.frames += 1
        if is_lent:
            return
        sightings = self._pipeline.recognise(frame)
        for sighting in sightings:
            if sighting.is_conclusive:
                self._act(frame, sighting)
        if not sightings:  # nobody waits for the disk
            self._record.run_maintenance()
            self._pictures.run_maintenance()

    def _note_camera(self, lost: str | None) -> None:
        """Record when the camera was lost and when it came back; the capture logs it."""
        if lost is not None and self._lost_since is None:
            self._lost_since = self._clock()
            self._record_event({"kind": "camera", "event": "camera-lost", "reason": lost})
        elif lost is None and self._lost_since is not None:
            lost_s, self._lost_since = round(self._clock() - self._lost_since), None
            self._record_event({"kind": "camera", "event": "camera-back", "lost_s": lost_s})

    def _watch_clock(self) -> None:
        """Check the clock: log changes, take over a confirmation, persist the belief."""
        now = self._clock()
        if now - self._clock_looked < _CLOCK_S:
            return
        self._clock_looked = now
        doubt = self._wall.read_with_doubt()[1]
        if doubt and now - self._clock_asked >= _ASK_CLOCK_S:
            self._clock_asked = now
            if adopt_confirmation(self._wall, self._door):
                doubt = None
                confirmed = confirmation_field(self._wall.trust)
                self._record_event({"kind": "clock", "reason": CLOCK_TRUSTED, **confirmed})
                self._clock_kept = -math.inf
        if doubt is not self._doubt:
            self._doubt = doubt
            self._report_doubt(doubt)
        if now - self._clock_kept >= _KEEP_CLOCK_S:
            self._clock_kept = now
            self._keep_clock()

    def _report_doubt(self, doubt: ClockDoubt | None) -> None:
        reason = doubt.value if doubt else "believed"
        self._record_event({"kind": "clock", "reason": reason})
        if doubt is None:
            log.info("the clock is trusted again")
        else:
            what = "people with a first or last day are refused and nothing is erased"
            log.warning("%s; %s; %s", describe_doubt(doubt), what, REMEDY)

    def _keep_clock(self) -> None:
        try:
            write_trust(self._config.clock_path, self._wall)
        except OSError as error:
            self._complain("clock", f"{self._config.clock_path}: not written: {error.strerror}")

    def _lend(self, frame: Frame | None) -> bool:
        """Offer the frame to an enrollment, where there is one; nobody is recognised as long as it lasts."""
        loan = self._lender.session if self._lender is not None else None
        if loan is not self._loan:
            self._note_loan(loan)
        if self._lender is not None and loan is not None and frame is not None:
            self._lender.publish(frame)
        return loan is not None

    def _note_loan(self, loan: FrameSession | None) -> None:
        """That an enrollment has ended, or begun, or both."""
        ended, self._loan = self._loan, loan
        if ended is not None:
            fields = {
                "event": "end",
                "account": ended.account,
                "reason": ended.ended or "closed",
                "frames": ended.frames,
            }
            self._record_event({"kind": "enrollment", **fields})
        if loan is not None:
            self._record_event({"kind": "enrollment", "event": "begin", "account": loan.account})
        log.info(
            "enrollment from this camera %s",
            "has ended" if loan is None else "begins: nobody is let in meanwhile",
        )

    def _status(self, lost: str | None) -> str:
        """What systemd and an operator see; an engine that was not asked for first is never silent."""
        lent = ", lent to an enrollment: nobody is let in" if self._loan is not None else ""
        status = f"camera lost: {lost}" if lost else f"{self.frames} frames{lent}"
        if self._outage.refusal:
            status = f"{self._outage.refusal}: all people are refused; {status}"
        return (
            f"{status}; {self._engine} instead of TensorRT: {self._fallback}"
            if self._fallback
            else status
        )

    def stop(self) -> None:
        """End the loop after the present frame; may be called from a signal handler."""
        self._stopped = True

    def ask_reload(self) -> None:
        """Read configuration and gallery again after the present frame; may be called from a signal handler."""
        self._reload_asked = True

    def _reload(self, reread: Callable[[], TerminalConfig]) -> None:
        """All or nothing: on any mistake everything stays as it was."""
        self._reload_asked = False
        self._notifier.reloading()
        try:
            fresh = reread()
            check_unchanged(self._config, fresh, "recogniser")
            settings = build_recogniser_settings(
                fresh, self._networks, self._changeover, self._wall
            )
            before = self._gallery.revision
            self._gallery.reload()
            if self._gallery.revision < before:
                self._note_older_gallery(before)
            if self._changeover is not None:
                self._changeover.reload()
        except MfsaError as error:
            log.error("configuration and gallery stay as they were: %s", error)
        else:
            self._config = fresh
            self._outage.limit_s = fresh.gallery.unreadable_s
            settings.apply(self._pipeline, self._changeover)
            self._keep_for(fresh)
            log.info("configuration and gallery were read again")
        self._notifier.ready()

    def _keep_for(self, config: TerminalConfig) -> None:
        """How long records and pictures stay, from now on."""
        record = config.record
        self._record.retention = Retention(record.delete_after_days, record.redact_after_days)
        self._pictures = picture_store.PictureStore(
            config.pictures_path,
            record.max_pictures,
            record.delete_pictures_after_days,
            self._picture_cipher,
            self._wall,
        )

    def _open_record(self) -> None:
        """That this process is at work from here on, and that the one before it never said that it had ended."""
        before = self._record.last("kind")
        try:
            if before not in (None, "stopped"):
                self._record.append({"kind": "gap", "reason": "unclean-stop"})
            self._record.append(
                {"kind": "started", "model": self._model, "engine": self._engine, **self._size()}
            )
        except RecordError as error:
            self._complain("record", str(error))

    def close(self) -> None:
        self._notifier.stopping()
        if self._lender is not None:
            self._lender.close()
        if self._loan is not None:
            self._note_loan(None)
        self._capture.close()
        self._networks.close()
        self._door.close()
        self._store.close()
        if self._changeover is not None:
            self._changeover.close()
        self._keep_clock()
        with contextlib.suppress(
            RecordError
        ):  # without it the next start says that there was a gap
            self._record.append({"kind": "stopped"})
        self._record.close()
        self._notifier.close()
        os.close(self._lock_fd)

    def _act(self, frame: Frame, sighting: FaceResult) -> None:
        decision = sighting.decision
        if decision.verdict is not Verdict.GRANT and not self._is_news(decision):
            return
        record_id: int | None = None
        model = (
            self._changeover.model[:12]
            if sighting.by_previous_model and self._changeover
            else self._model
        )
        fields = decision_fields(frame, sighting, model, self._engine)
        try:
            record_id = self._record.append(fields, durable=decision.verdict is Verdict.GRANT)
        except RecordError as error:
            policy = (
                "people are let in all the same"
                if self._let_in_unrecorded
                else "nobody is let in until it can be written"
            )
            self._complain("record", f"{error}; {policy}")
        if decision.verdict is Verdict.GRANT and decision.match is not None:
            known = record_id is not None or self._let_in_unrecorded
            opened = known and self._grant(
                decision, decision.match.subject, record_id or NOT_RECORDED
            )
            if opened and sighting.by_previous_model and self._changeover is not None:
                self._enroll_anew(sighting.track, decision.match.subject)
            if not opened:
                self._pipeline.revoke_grant(sighting.track, decision.match.subject, _ASK_AGAIN_S)
        if record_id is None:
            return
        self._log_refusal(record_id, decision)
        if (
            self._config.record.max_pictures
            and sighting.chip is not None
            and sighting.probe is not None
        ):
            self._pictures.save(record_id, overlay(sighting.chip, sighting.probe))

    def _enroll_anew(self, track: int, subject: str) -> None:
        """A person who was let in by the model before has templates of the new one from now on."""
        assert self._changeover is not None
        if templates := self._changeover.enroll(track, subject):
            left = len(self._changeover.pending_subjects)
            self._record_event(
                {"kind": "changeover", "subject": subject, "templates": templates, "left": left}
            )

    def _record_handover(self) -> None:
        """Record the fields that an enrollment left; it waits until the file is removed."""
        path = self._config.handover_path
        try:
            fields = handover.read(path)
        except RecordError as error:
            self._complain("handover", str(error))
            fields = {}
        try:
            if fields:
                self._record.append(fields)
            if fields is not None:
                handover.remove(path)
        except RecordError as error:
            self._complain("record", str(error))

    def _record_event(self, fields: dict[str, Any]) -> None:
        try:
            self._record.append(fields, durable=False)
        except RecordError as error:
            self._complain("record", str(error))

    def _grant(self, decision: Decision, subject: str, record_id: int) -> bool:
        """Ask the door; whether it opened."""
        known = self._gallery.find_record(subject)
        extended = known is not None and known.extended
        grant = Grant(secrets.token_hex(8), subject, record_id, decision.frame_at, extended)
        try:
            refused = self._door.grant(grant)
            outcome = "unlocked" if refused is None else f"refused: {refused}"
        except DoorError as error:
            outcome = "unreachable"
            self._complain("door", str(error))
        verdict = "access granted" if outcome == "unlocked" else "match, no access"
        log.info("decision %d: %s, door %s", record_id, verdict, outcome)
        self._record_event(door_fields(grant, outcome))
        return outcome == "unlocked"

    @property
    def _let_in_unrecorded(self) -> bool:
        return self._config.record.on_write_failure == "open"

    def _log_refusal(self, record_id: int, decision: Decision) -> None:
        """Log why a face is not granted, once per reason in `_COMPLAIN_S`; names no one."""
        if decision.verdict not in (Verdict.UNKNOWN, Verdict.REFUSED):
            return
        now = self._clock()
        if now - self._refused.get(decision.reason, -math.inf) >= _COMPLAIN_S:
            self._refused[decision.reason] = now
            log.info("decision %d: %s (%s)", record_id, decision.verdict.value, decision.reason)

    def _is_news(self, decision: Decision) -> bool:
        """Whether a verdict differs from what was just recorded, so that a person who waits does not fill the disk."""
        subject = (
            decision.match.subject
            if decision.match and decision.verdict is not Verdict.UNKNOWN
            else ""
        )
        key = (decision.verdict.value, decision.reason, subject)
        now = decision.frame_at
        self._recorded = {k: at for k, at in self._recorded.items() if now - at < _REPEAT_S}
        return self._recorded.setdefault(key, now) == now

    def _size(self) -> dict[str, int]:
        """So that a gallery which somebody put back shows in the record."""
        return {"subjects": self._gallery.index.subjects, "templates": self._gallery.templates}

    def _refresh_gallery(self) -> None:
        """Follow the gallery's file; all people are refused once that failed for too long."""
        before = self._gallery.revision
        try:
            if self._changeover is not None:
                self._changeover.refresh()
            changed = self._gallery.refresh()
        except GalleryError as error:
            self._note_unreadable(error)
            return
        if (lasted := self._outage.record_success(self._clock())) is not None:
            self._gallery.refusal = None
            log.info("the gallery can be read again after %.0f s", lasted)
            self._record_event({"kind": "gallery", "event": "readable", "after_s": round(lasted)})
        if changed:
            log.info("gallery changed: %d subjects", self._gallery.index.subjects)
            self._record_event({"kind": "gallery", **self._size()})
            self._note_evidence_key()
        if self._gallery.revision < before:
            self._note_older_gallery(before)
        self._confirm_gallery()

    def _note_unreadable(self, error: GalleryError) -> None:
        begins = self._outage.record_failure(error, self._clock())
        reason = self._gallery.refusal = self._outage.refusal
        if begins:
            log.error(
                "gallery: %s; all people are refused (%s) until it can be read", error, reason
            )
            self._record_event({"kind": "gallery", "event": "unreadable", "reason": reason})
            return
        limit_s = self._outage.limit_s
        outcome = "all people are refused" + ("" if reason else f" after {limit_s:g} s")
        self._complain("gallery", f"gallery: {error}; {outcome}")

    def _note_older_gallery(self, before: int) -> None:
        """Report an older gallery file: people who were removed since may be back."""
        now = self._gallery.revision
        log.warning(
            "the gallery went back from revision %d to %d: an older copy was put in place, removed "
            "people may be back; check with edge-gallery list",
            before,
            now,
        )
        self._record_event(
            {"kind": "gallery", "event": "older", "from": before, "to": now, **self._size()}
        )

    def _confirm_gallery(self) -> None:
        """Write the gallery's position in memory, for commands that wait for it."""
        position = self._gallery.position
        if position == self._confirmed or self._clock() < self._confirm_at:
            return
        try:
            write_confirmation(self._config.gallery_confirmed_path, position)
            self._confirmed = position
        except GalleryError as error:
            self._confirm_at = self._clock() + _CONFIRM_AGAIN_S
            self._complain("confirmation", str(error))

    def _read_evidence_key(self, config: TerminalConfig) -> None:
        key = self._store.read_secret(EVIDENCE)
        self._score_cipher = score_cipher(key, config.terminal)
        self._picture_cipher = picture_cipher(key, config.terminal)

    def _note_evidence_key(self) -> None:
        """Read the key of scores and pictures again: the gallery may have been replaced."""
        try:
            self._read_evidence_key(self._config)
            self._keep_for(self._config)
        except GalleryError as error:
            self._complain("gallery", str(error))

    def _complain(self, about: str, message: str) -> None:
        now = self._clock()
        if now - self._complained.get(about, -_COMPLAIN_S) >= _COMPLAIN_S:
            self._complained[about] = now
            log.error(message)


def _open_lender(config: TerminalConfig) -> FrameServer | None:
    """None where enrollments cannot borrow the camera: the door works without."""
    try:
        return FrameServer(config.enroll_socket_path)
    except CameraError as error:
        log.error("enrollments cannot borrow the camera: %s", error)
        return None
