"""Checks of a terminal, before and while it runs. Each result states the remedy."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from edge.access.messages import describe_overload, describe_thresholds
from edge.audit.clock import open_clock
from edge.audit.locations import KEYS_NEXT_TO_LOGS, SET_KEYS, log_locations
from edge.audit.writer_state import default_key_path
from edge.bundle import Bundle, open_bundle
from edge.bundle_use import USE_WORDS, assess_use
from edge.camera import open_camera
from edge.chip import PREPROCESSING
from edge.config import TerminalConfig
from edge.config.policy import NoLivenessConfig
from edge.door.access_check import check_access
from edge.door.client import DoorClient
from edge.door.clock_trust import describe_doubt
from edge.door.readers.events import ReaderState
from edge.errors import MfsaError
from edge.gallery.key import become_owner, has_gallery
from edge.gallery.live_gallery import LiveGallery
from edge.gallery.opening import open_gallery
from edge.gallery.spelling import find_numbered
from edge.ops.check_result import ERROR, OK, WARNING, CheckResult
from edge.ops.console_check import check_console
from edge.ops.door_hardware import check_accounts, check_outputs, check_readers
from edge.recogniser.build import build_rules
from edge.recogniser.lane_faces import unnamed_warning
from edge.recogniser.networks import open_networks
from edge.system.text import format_count
from edge.system.wallclock import REMEDY


def examine(config: TerminalConfig, subjects: Sequence[str] = ()) -> Iterator[CheckResult]:
    """Yield the results for some subjects, by default all. Errors of a user become results."""
    checks = {name: check for name, check in _CHECKS.items() if not subjects or name in subjects}
    for subject, check in checks.items():
        try:
            yield from check(config)
        except MfsaError as error:
            yield CheckResult(ERROR, subject, str(error))
        except OSError as error:
            yield CheckResult(
                ERROR, subject, f"{error.filename or subject}: {error.strerror or error}"
            )


def _state(config: TerminalConfig) -> Iterator[CheckResult]:
    path = config.state
    if not path.exists():
        yield CheckResult(
            WARNING, "state", f"{path}: missing; edge-enroll and edge-daemon create it"
        )
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007:
        yield CheckResult(
            WARNING,
            "state",
            f"{path}: all accounts may read it (mode {mode:04o}); run: chmod o-rwx {path}",
        )
    elif not os.access(path, os.W_OK):
        yield CheckResult(
            ERROR,
            "state",
            f"{path}: not writable by this account; run edge-doctor as root or as its owner",
        )
    else:
        space = os.statvfs(path)
        free_mb = space.f_bavail * space.f_frsize >> 20
        level = OK if free_mb > 200 else WARNING
        yield CheckResult(
            level,
            "state",
            f"{path}: writable, {free_mb} MB free" + ("" if level == OK else "; free some space"),
        )


def _instance(config: TerminalConfig) -> Iterator[CheckResult]:
    """Check that recognisers of one terminal know each other."""
    if (warning := unnamed_warning(config)) is not None:
        yield CheckResult(WARNING, "instance", warning)
    elif config.instance is not None:
        yield CheckResult(OK, "instance", f"{config.instance}, compared with the other lanes")


def _bundle(config: TerminalConfig) -> Iterator[CheckResult]:
    for key, path in _bundles(config).items():
        bundle = open_bundle(path, PREPROCESSING)
        words = f"{key}{bundle.manifest.name}, digests match, model {bundle.model_digest[:12]}"
        if bundle.compatible_with:
            models = ", ".join(model[:12] for model in bundle.compatible_with)
            words += f", accepts templates of model {models}"
        yield CheckResult(OK, "bundle", words)
        use = assess_use(bundle.manifest)
        if use.use == "commercial":
            words = f"{key}commercial, by the provenance list of the bundle"
            yield CheckResult(OK, "use", words)
        else:
            words = f"{key}{USE_WORDS[use.use]}, because of {use.names}; see docs/licences.md"
            yield CheckResult(WARNING, "use", words)


def _bundles(config: TerminalConfig) -> dict[str, Path]:
    """Return the bundles that the recogniser opens, by the beginning of their messages."""
    previous = config.previous_bundle
    return {"": config.bundle} | ({} if previous is None else {"previous_bundle: ": previous})


def _record(config: TerminalConfig) -> Iterator[CheckResult]:
    """Check the verification keys; before privileges are dropped: only root may read them."""
    if config.record.verification_key_dir is None:
        yield CheckResult(WARNING, "record", f"{KEYS_NEXT_TO_LOGS}; {SET_KEYS}")
        return
    for place in log_locations(config):
        default_key = default_key_path(place.folder)
        if default_key.exists():
            words = f"{default_key}: {KEYS_NEXT_TO_LOGS}; run edge-audit init as root"
            yield CheckResult(WARNING, "record", words)
        elif place.key_path.exists():
            yield CheckResult(
                OK,
                "record",
                f"{place.folder}: its verification key is {place.key_path}",
            )
        else:
            words = f"{place.key_path}: no verification key yet; run edge-audit init as root"
            yield CheckResult(WARNING, "record", words)


def _access(config: TerminalConfig) -> Iterator[CheckResult]:
    for finding in check_access(config):
        yield CheckResult(OK if finding.is_ok else WARNING, "access", finding.message)


def _clock(config: TerminalConfig) -> Iterator[CheckResult]:
    doubt = open_clock(config).read_with_doubt()[1]
    if doubt is None:
        yield CheckResult(OK, "clock", "trusted")
    else:
        yield CheckResult(WARNING, "clock", f"{describe_doubt(doubt)}; {REMEDY}")


def _engine(config: TerminalConfig) -> Iterator[CheckResult]:
    import numpy as np

    for key, path in _bundles(config).items():
        networks = open_networks(config.model_copy(update={"bundle": path}))
        try:
            networks.detector.detect(np.zeros((480, 640, 3), np.uint8))
            networks.embedder.embed(np.zeros((1, 112, 112, 3), np.uint8))
        finally:
            networks.close()
        level = WARNING if networks.fallback else OK
        yield CheckResult(level, "engine", f"{key}{networks} runs both networks")


def _gallery(config: TerminalConfig) -> Iterator[CheckResult]:
    if not has_gallery(config):
        become_owner(config.state)
        yield CheckResult(WARNING, "gallery", "no one is enrolled; begin with edge-enroll")
        yield _thresholds(config, open_bundle(config.bundle, PREPROCESSING), 0)
        return
    opened = open_gallery(config)
    with closing(opened.store) as store:
        index = LiveGallery(store).index
        records = [subject.record for subject in store.read_subjects()]
        pairs = find_numbered(list(store.template_counts()))
    people = (
        f"{format_count(index.subjects, 'subject')}, {format_count(index.templates, 'template')}"
    )
    yield CheckResult(OK, "gallery", f"{people}, readable with the key")
    for name, numbered in pairs:
        words = "if they are one person, remove one: edge-gallery remove --subject NAME"
        yield CheckResult(WARNING, "gallery", f"{name!r} and {numbered!r} are enrolled: {words}")
    if unmoved := sum(record.unmoved_rights is not None for record in records):
        words = f"rights of {format_count(unmoved, 'person', 'people')} are not at the door"
        yield CheckResult(WARNING, "gallery", f"{words}; run edge-gallery move-rights as root")
    yield _thresholds(config, opened.bundle, index.templates)


def _thresholds(config: TerminalConfig, bundle: Bundle, templates: int) -> CheckResult:
    calibration = bundle.calibration(config.engine.precision)
    words = describe_thresholds(build_rules(config.policy, calibration), templates)
    if templates <= calibration.gallery_size:
        return CheckResult(OK, "thresholds", words)
    return CheckResult(
        WARNING, "thresholds", f"{words}; {describe_overload(calibration.gallery_size)}"
    )


def _camera(config: TerminalConfig) -> Iterator[CheckResult]:
    camera = open_camera(config.camera)
    try:
        frame = camera.read()
    finally:
        camera.close()
    if frame is None:
        yield CheckResult(ERROR, "camera", "the recording is empty; check `camera.path`")
        return
    height, width = frame.image.shape[:2]
    yield CheckResult(OK, "camera", f"{config.camera.kind} gives frames of {width}x{height}")


def _liveness(config: TerminalConfig) -> Iterator[CheckResult]:
    if isinstance(config.liveness, NoLivenessConfig):
        yield CheckResult(
            WARNING,
            "liveness",
            "off (no PAD): a photo of an enrolled person opens the door; set `liveness.kind: "
            "layers`",
        )
        return
    liveness = config.liveness
    layers = [name for name in ("motion", "screen", "passive") if getattr(liveness, name)]
    if liveness.challenge != "never":
        layers.append(f"challenge ({liveness.challenge})")
    yield CheckResult(
        OK,
        "liveness",
        f"layers: {', '.join(layers)}; not certified, measure them with mfsa-pad",
    )


def _time_zone(config: TerminalConfig) -> Iterator[CheckResult]:
    schedule = config.door.schedule
    if schedule.time_zone is not None:
        yield CheckResult(OK, "time zone", f"{schedule.time_zone}, from door.schedule.time_zone")
        return
    yield CheckResult(
        OK,
        "time zone",
        f"{schedule.zone}, the time zone of this machine; door.schedule.time_zone sets another",
    )


def _door(config: TerminalConfig) -> Iterator[CheckResult]:
    client = DoorClient(config.socket_path)
    try:
        status = client.status()
    finally:
        client.close()
    yield CheckResult(OK, "door", f"edge-door answers: {status['state']}")
    if status["records_lost"]:
        yield CheckResult(
            WARNING,
            "door",
            f"{status['records_lost']} of its last records were lost; check the free disk space",
        )
    for name, state in status.get("access", {}).get("readers", {}).items():  # for operators only
        is_ready = state == ReaderState.READY
        yield CheckResult(OK if is_ready else WARNING, "door", f"reader {name}: {state}")
    if config.door.relay.kind != "gpio" or config.door.relay.factory == "mock":
        yield CheckResult(WARNING, "door", f"relay is {config.door.relay.kind}; no lock will move")
    elif not config.door.clients:
        yield CheckResult(
            WARNING,
            "door",
            "recogniser and door share one account, so a compromised recogniser controls the lock; "
            "see docs/install.md",
        )


_CHECKS: dict[str, Callable[[TerminalConfig], Iterator[CheckResult]]] = {
    "state": _state,
    "instance": _instance,
    "record": _record,
    "console": check_console,
    "accounts": check_accounts,
    "pins": check_outputs,
    "readers": check_readers,
    "access": _access,
    "gallery": _gallery,  # drops privileges; the checks below run as the recogniser
    "clock": _clock,
    "bundle": _bundle,
    "engine": _engine,
    "camera": _camera,
    "liveness": _liveness,
    "time zone": _time_zone,
    "door": _door,
}
