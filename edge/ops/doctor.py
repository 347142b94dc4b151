"""Checks of a terminal before and while it runs; each finding says how to fix the fault."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge.access.policy import beyond, told
from edge.audit.clock import open_clock
from edge.audit.locations import KEYS_BESIDE, SET_KEYS, places
from edge.audit.writer_state import key_path_of
from edge.bundle import Bundle, open_bundle
from edge.camera import open_camera
from edge.chip import PREPROCESSING
from edge.config import Terminal
from edge.config.access import NoLiveness
from edge.door.client import DoorClient
from edge.door.wallclock import describe_doubt
from edge.errors import MfsaError
from edge.gallery.key import become_owner, enter, has_gallery
from edge.gallery.search import Gallery
from edge.gallery.spelling import find_numbered
from edge.gallery.store import open_store
from edge.recogniser.build import rules_of
from edge.recogniser.networks import open_networks
from edge.system.text import count
from edge.system.wallclock import REMEDY

OK, WARNING, ERROR = "ok", "warning", "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    level: str
    subject: str
    message: str


def examine(config: Terminal, subjects: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield the findings on some subjects, by default on all; a user's mistake raises nothing."""
    checks = {name: check for name, check in _CHECKS.items() if not subjects or name in subjects}
    for subject, check in checks.items():
        try:
            yield from check(config)
        except MfsaError as error:
            yield Finding(ERROR, subject, str(error))
        except OSError as error:
            yield Finding(ERROR, subject, f"{error.filename or subject}: {error.strerror or error}")


def _state(config: Terminal) -> Iterator[Finding]:
    path = config.state
    if not path.exists():
        yield Finding(
            WARNING, "state", f"{path}: does not exist yet; edge-enroll or edge-daemon makes it"
        )
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007:
        yield Finding(
            WARNING,
            "state",
            f"{path}: all accounts may read it (mode {mode:04o}); run: chmod o-rwx {path}",
        )
    elif not os.access(path, os.W_OK):
        yield Finding(ERROR, "state", f"{path}: this account cannot write there")
    else:
        space = os.statvfs(path)
        free_mb = space.f_bavail * space.f_frsize >> 20
        level = OK if free_mb > 200 else WARNING
        yield Finding(
            level,
            "state",
            f"{path}: writable, {free_mb} MB free" + ("" if level == OK else "; make room"),
        )


def _bundle(config: Terminal) -> Iterator[Finding]:
    bundle = open_bundle(config.bundle, PREPROCESSING)
    yield Finding(
        OK, "bundle", f"{bundle.manifest.name}, digests match, model {bundle.model_digest[:12]}"
    )


def _record(config: Terminal) -> Iterator[Finding]:
    """While this may still have root's rights: the first keys are for root alone."""
    if config.record.keys is None:
        yield Finding(WARNING, "record", f"{KEYS_BESIDE}; {SET_KEYS}")
        return
    for place in places(config):
        beside = key_path_of(place.folder)
        if beside.exists():
            words = f"{beside}: {KEYS_BESIDE}; run edge-audit init as root"
            yield Finding(WARNING, "record", words)
        elif place.key_path.exists():
            yield Finding(
                OK, "record", f"{place.folder}: its first key is kept apart, in {place.key_path}"
            )
        else:
            words = f"{place.key_path}: no first key yet; run edge-audit init as root"
            yield Finding(WARNING, "record", words)


def _clock(config: Terminal) -> Iterator[Finding]:
    doubt = open_clock(config).check()[1]
    if doubt is None:
        yield Finding(OK, "clock", "trusted")
    else:
        yield Finding(WARNING, "clock", f"{describe_doubt(doubt)}; {REMEDY}")


def _engine(config: Terminal) -> Iterator[Finding]:
    networks = open_networks(config)
    import numpy as np

    try:
        networks.detector.detect(np.zeros((480, 640, 3), np.uint8))
        networks.embedder.embed(np.zeros((1, 112, 112, 3), np.uint8))
    finally:
        networks.close()
    yield Finding(WARNING if networks.fallback else OK, "engine", f"{networks} runs both networks")


def _gallery(config: Terminal) -> Iterator[Finding]:
    if not has_gallery(config):
        become_owner(config.state)
        yield Finding(WARNING, "gallery", "no one is enrolled; begin with edge-enroll")
        yield _thresholds(config, open_bundle(config.bundle, PREPROCESSING), 0)
        return
    key = enter(config)
    bundle = open_bundle(config.bundle, PREPROCESSING)
    store = open_store(config, bundle.model_digest, key)
    try:
        index = Gallery(store).index
        pairs = find_numbered(list(store.subjects()))
    finally:
        store.close()
    people = f"{count(index.subjects, 'subject')}, {count(index.templates, 'template')}"
    yield Finding(OK, "gallery", f"{people}, readable with the key")
    for name, numbered in pairs:
        words = "if they are one person, remove one: edge-gallery remove --subject NAME"
        yield Finding(WARNING, "gallery", f"{name!r} and {numbered!r} are enrolled: {words}")
    yield _thresholds(config, bundle, index.templates)


def _thresholds(config: Terminal, bundle: Bundle, templates: int) -> Finding:
    calibration = bundle.calibration(config.engine.precision)
    words = told(rules_of(config.policy, calibration), templates)
    if templates <= calibration.gallery_size:
        return Finding(OK, "thresholds", words)
    return Finding(WARNING, "thresholds", f"{words}; {beyond(calibration.gallery_size)}")


def _camera(config: Terminal) -> Iterator[Finding]:
    camera = open_camera(config.camera)
    try:
        frame = camera.read()
    finally:
        camera.close()
    if frame is None:
        yield Finding(ERROR, "camera", "the recording is empty; check `camera.path`")
        return
    height, width = frame.image.shape[:2]
    yield Finding(OK, "camera", f"{config.camera.kind} gives frames of {width}x{height}")


def _liveness(config: Terminal) -> Iterator[Finding]:
    if isinstance(config.liveness, NoLiveness):
        yield Finding(
            WARNING,
            "liveness",
            "off (no PAD): a photo of an enrolled person opens the door; every record says so",
        )
        return
    on = [
        name for name, value in config.liveness if name != "kind" and value not in (False, "never")
    ]
    yield Finding(
        OK,
        "liveness",
        f"layers: {', '.join(on)}; nobody certified them, measure yours with mfsa-pad",
    )


def _time_zone(config: Terminal) -> Iterator[Finding]:
    schedule = config.door.schedule
    if schedule.time_zone is not None:
        yield Finding(OK, "time zone", f"days and hours by the time zone {schedule.time_zone}")
        return
    yield Finding(
        OK,
        "time zone",
        f"days and hours by the time zone of this machine, {schedule.zone}; "
        "door.schedule.time_zone names another",
    )


def _door(config: Terminal) -> Iterator[Finding]:
    client = DoorClient(config.socket_path)
    try:
        status = client.status()
    finally:
        client.close()
    yield Finding(OK, "door", f"edge-door answers: {status['state']}")
    if status["records_lost"]:
        yield Finding(
            WARNING,
            "door",
            f"{status['records_lost']} of its last records were lost: is the disk full?",
        )
    if config.door.relay.kind != "gpio" or config.door.relay.factory == "mock":
        yield Finding(WARNING, "door", f"relay is {config.door.relay.kind}; no lock will move")
    elif not config.door.clients:
        yield Finding(
            WARNING,
            "door",
            "recogniser and door run as one account: a recogniser that is taken over commands the lock; see docs/install.md",
        )


_CHECKS: dict[str, Callable[[Terminal], Iterator[Finding]]] = {
    "state": _state,
    "record": _record,
    "gallery": _gallery,  # from here on with the rights of the recogniser
    "clock": _clock,
    "bundle": _bundle,
    "engine": _engine,
    "camera": _camera,
    "liveness": _liveness,
    "time zone": _time_zone,
    "door": _door,
}
