"""Run of the demo: draw a clip, enroll, run door process and recogniser, write the report."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from edge.access.messages import describe_thresholds
from edge.audit import picture_store
from edge.audit.reader import read_log
from edge.audit.sealing import picture_cipher, score_cipher
from edge.bundle import open_bundle, read_manifest
from edge.chip import PREPROCESSING
from edge.config import TerminalConfig, load_config
from edge.demo import clip, report
from edge.demo.actor import DemoActor
from edge.demo.outcome import DemoOutcome, build_outcome
from edge.demo.pins import draw_pins, save_pins
from edge.demo.processes import call, check_exit_code, process, wait_until_ready
from edge.demo.scenario import ACTIONS, SCENES, DemoPin
from edge.door.client import DoorClient
from edge.errors import MfsaError
from edge.gallery.store import read_evidence_key
from edge.portraits import COLLINS
from edge.recogniser.build import build_rules
from edge.recogniser.networks import open_networks
from edge.synthesis.drawing import FPS, cut_out, enrollment_views

_ANSWER_S = 60.0  # generous: a busy machine is slow

Say = Callable[[str], None]


def run_demo(bundle: Path, out: Path, show_progress: Say) -> tuple[DemoOutcome, Path]:
    """Run the demo in a folder; return its outcome and the path of the report.

    `say` receives the progress. Raises MfsaError.
    """
    config_path = _prepare(bundle, out, show_progress)
    show_progress("Enrolling Eileen Collins from three photos")
    photos = sorted(str(path) for path in (out / "enroll").glob("*.png"))
    call("edge.cli.enroll", "--config", str(config_path), "--subject", COLLINS.person, *photos)
    config = load_config(config_path)
    show_progress("Giving Eileen Collins a PIN and a duress PIN, drawn for this run")
    pins = draw_pins()
    save_pins(config, pins)
    show_progress(
        "WARNING: liveness is off in this demo (no PAD): a photo of an enrolled person "
        "opens this door"
    )
    show_progress("Running edge-door and edge-daemon on the clip, in real time")
    _run_terminal(config, config_path, pins, show_progress)
    return _write_report(config, out)


def _prepare(bundle: Path, out: Path, say: Say) -> Path:
    """Write clip, enrollment photos and config to a fresh folder; return the config's path."""
    open_bundle(bundle, PREPROCESSING)  # before anything is deleted or drawn
    for old in ("clip", "enroll", "inputs", "state"):
        shutil.rmtree(out / old, ignore_errors=True)
    for folder in ("clip", "enroll", "inputs"):
        (out / folder).mkdir(parents=True)
    config_path = out / "terminal.yaml"
    config_path.write_text(yaml.safe_dump(_config(bundle), sort_keys=False), encoding="utf-8")
    cutouts = cut_out(open_networks(load_config(config_path)).detector)
    seconds = sum(scene.seconds for scene in SCENES)
    say(f"Drawing a clip of {seconds:.0f} s from the portraits of {' and '.join(cutouts)}")
    for number, view in enumerate(enrollment_views(cutouts[COLLINS.person])):
        cv2.imwrite(str(out / "enroll" / f"{number}.png"), view)
    for number, frame in enumerate(clip.draw_frames(SCENES, cutouts)):
        cv2.imwrite(str(out / "clip" / f"{number:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return config_path


def _config(bundle: Path) -> dict[str, Any]:
    inputs = {name: {"kind": "file", "path": f"inputs/{name}"} for name in ("contact", "fire")}
    return {
        "terminal": "demo",
        "bundle": str(bundle.resolve()),
        "camera": {"kind": "replay", "path": "clip", "fps": FPS},
        # Relock on close: the door is locked when the alarm ends, even during the pulse.
        "door": {
            "inputs": inputs,
            "readers": [{"kind": "simulated", "name": "entry", "path": "inputs/reader"}],
            "held_open_s": 1.5,
            "relock": "on_close",
        },
        "access": {"masked": "require-second-factor"},
        "liveness": {"kind": "none"},
        "record": {"max_pictures": 1000},
    }


def _run_terminal(
    config: TerminalConfig, config_path: Path, pins: Mapping[DemoPin, str], say: Say
) -> None:
    """Run door process and recogniser until clip and actions are over."""
    arguments = ("--config", str(config_path))
    with (
        contextlib.closing(DoorClient(config.socket_path, timeout_s=_ANSWER_S)) as client,
        process("edge.cli.door", "run", *arguments) as door,
    ):
        wait_until_ready(client, door)
        with process("edge.cli.daemon", *arguments) as daemon:
            DemoActor(config, client, pins, daemon.poll).run(ACTIONS, say)
            check_exit_code("edge.cli.daemon", daemon.wait())


def _write_report(config: TerminalConfig, out: Path) -> tuple[DemoOutcome, Path]:
    key = read_evidence_key(config)
    decisions = read_log(config.decisions_path, score_cipher(key, config.terminal).decrypt_fields)
    try:
        outcome = build_outcome(SCENES, decisions, read_log(config.door_record_path))
    except ValueError as error:
        raise MfsaError(f"the demo has no result: {error}; see the lines above") from error
    frames = [_decode(path.read_bytes()) for path in sorted((out / "clip").glob("*.jpg"))]
    cipher = picture_cipher(key, config.terminal)
    pictures = {
        number: _decode(picture_store.read_picture(config.pictures_path, number, cipher))
        for number in picture_store.list_pictures(config.pictures_path)
    }
    path = out / "report.html"
    page = report.render_report(outcome, frames, pictures, _facts(config, decisions))
    path.write_text(page, encoding="utf-8")
    return outcome, path


def _decode(encoded: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)


def _facts(config: TerminalConfig, decisions: list[dict[str, Any]]) -> dict[str, str]:
    manifest = read_manifest(config.bundle)
    started = (record["templates"] for record in decisions if record.get("kind") == "started")
    rules = build_rules(config.policy, manifest.calibration)
    return {
        "Model": f"{manifest.name}, {manifest.licence}",
        "Trained on": manifest.data,
        "Thresholds": describe_thresholds(rules, next(started, 0)),
        "Portraits": "Eileen Collins (NASA) and Grace Hopper (US Navy), public domain; "
        "masks are drawn",
    }
