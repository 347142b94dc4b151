"""The programs in examples/ run on real pictures and print what their pages promise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.access.reasons import Reason
from edge.audit.provisioning import provision_log
from edge.audit.writer import AuditLogWriter
from edge.chip import SIZE
from edge.portraits import COLLINS, HOPPER, Portrait, load_chip, load_portrait
from edge.recogniser.live_server import LiveServer
from tests.live import make_face, make_frame, make_message, make_scene, make_shown

ROOT = Path(__file__).resolve().parents[1]


def run(name: str, *arguments: str | Path, code: int = 0) -> str:
    """Run an example as a user does and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def photo(portrait: Portrait, folder: Path) -> Path:
    path = folder / f"{portrait.person}.png"
    cv2.imwrite(str(path), load_portrait(portrait))
    return path


def test_every_example_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    programs = [path.stem for path in (ROOT / "examples").glob("*.py")]
    assert len(programs) >= 5
    assert not [name for name in programs if f'run("{name}"' not in text.replace("\n        ", "")]


def test_recognise_image_names_the_enrolled(bundle_path: Path, tmp_path: Path) -> None:
    collins, hopper = photo(COLLINS, tmp_path), photo(HOPPER, tmp_path)
    enrolled = ("--bundle", bundle_path, "--enroll", f"Eileen={collins}")
    assert ": Eileen, score" in run("recognise_image", *enrolled, collins)
    assert ": unknown, score" in run("recognise_image", *enrolled, hopper)


def test_own_camera_feeds_the_pipeline(bundle_path: Path, tmp_path: Path) -> None:
    shown = run("own_camera", "--bundle", bundle_path, photo(COLLINS, tmp_path))
    assert "frame 0: unknown" in shown
    assert "frame 29" in shown


def test_own_relay_is_energised_for_a_pulse(tmp_path: Path) -> None:
    line = tmp_path / "line"
    assert run("own_relay", line) == "granted\n"
    commands = line.read_text().split("\n")
    assert "RELAY ON" in commands
    assert commands[0] == commands[-2] == "RELAY OFF"


def test_read_audit_log_verifies(tmp_path: Path) -> None:
    folder, key = tmp_path / "decisions", tmp_path / "keys" / "decisions.key"
    provision_log(folder, key)
    log = AuditLogWriter(folder, log_id="lobby-1/decisions")
    for reason in ("below-threshold", "below-threshold", "match"):
        log.append({"kind": "decision", "verdict": "unknown", "reason": reason})
    log.close()
    shown = run("read_audit_log", folder, "--key", key)
    assert "2 x unknown (below-threshold)" in shown
    assert "3 records, 0 findings" in shown
    segment = next(folder.glob("*.log"))
    segment.write_bytes(segment.read_bytes().replace(b"below-threshold", b"above-threshold", 1))
    assert "finding:" in run("read_audit_log", folder, "--key", key, code=1)


def test_live_view_prints_prompts(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config()
    assert "cannot be reached" in run("live_view", "--config", config, code=1)
    (tmp_path / "state").mkdir()
    faces = make_shown(1, make_face(10)), make_shown(2, make_face(300, width=90), Reason.TOO_DARK)
    scene = make_scene(make_frame(), faces)
    server = LiveServer(tmp_path / "state" / "live.sock", make_message(scene))
    try:
        shown = run("live_view", "--config", config, "--count", "1")
    finally:
        server.close()
    assert shown == "pending: the face is too dark; more light is needed (0%)\n"


def test_evaluate_model_measures_masks(bundle_path: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for portrait in (COLLINS, HOPPER):
        folder = tmp_path / "people" / portrait.person
        folder.mkdir(parents=True)
        for number in range(10):
            chip = load_chip(portrait) + noise.normal(0, 5, (SIZE, SIZE, 3))
            cv2.imwrite(str(folder / f"{number}.png"), chip.clip(0, 255).astype(np.uint8))
    shown = run("evaluate_model", "--model", bundle_path / "embedder.onnx", tmp_path / "people")
    assert shown.startswith("20 chips of 2 people\nunmasked: EER 0.00%")
    assert "\nmasked: FNMR" in shown
