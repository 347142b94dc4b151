"""`edge-demo`: the whole path on real faces, without any hardware: enroll, walk up, recognise, open, record, report."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from edge.cli import common
from edge.config import load_config
from edge.errors import DoorError, MfsaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.door.client import DoorClient

# Limits for processes that hang; generous, since a busy machine is slow.
_START_S = 300.0
_STOP_S = 60.0
_ANSWER_S = 60.0


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-demo",
        "Make a walk-up clip from two public-domain portraits, enroll one of the two people and run the "
        "real door process and recogniser on it, with a lockdown, a door held open and a fire. Exits "
        "with 0 only if the door opened for the enrolled person, with and without mask, and for the "
        "fire; and neither during the lockdown nor for the other person.",
        "edge-demo --bundle build/bundle --out build/demo",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        required=True,
        help="complete bundle, made with: mfsa-bundle make build/bundle",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/demo"),
        help="folder for clip, audit logs and report (default %(default)s)",
    )
    args = parser.parse_args(argv)
    return common.run("edge-demo", lambda: _demo(args))


def _demo(args: argparse.Namespace) -> int:
    config_path = _prepare(args.out, args.bundle)
    from edge.portraits import COLLINS

    _say("Enrolling Eileen Collins from three photos")
    photos = sorted(str(p) for p in (args.out / "enroll").glob("*.png"))
    _call("edge.cli.enroll", "--config", str(config_path), "--subject", COLLINS.person, *photos)
    _say(
        "WARNING: liveness is off in this demo (no PAD): a photo of an enrolled person opens this door"
    )
    _say("Running edge-door and edge-daemon on the clip, in real time")
    _run_terminal(config_path)
    return _report(args.out, config_path)


def _prepare(out: Path, bundle: Path) -> Path:
    """Clip, enrollment photos and config in a fresh folder; the config's path."""
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING

    open_bundle(bundle, PREPROCESSING)  # before anything is deleted or drawn
    import cv2

    from edge.demo import clip
    from edge.demo.scenario import FPS, SCENES
    from edge.portraits import COLLINS
    from edge.recogniser.networks import open_networks

    for old in ("clip", "enroll", "inputs", "state"):
        shutil.rmtree(out / old, ignore_errors=True)
    for folder in ("clip", "enroll", "inputs"):
        (out / folder).mkdir(parents=True)
    config_path = out / "terminal.yaml"
    fields = {
        "terminal": "demo",
        "bundle": str(bundle.resolve()),
        "camera": {"kind": "replay", "path": "clip", "fps": FPS},
        "door": {
            "inputs": {
                name: {"kind": "file", "path": f"inputs/{name}"} for name in ("contact", "fire")
            },
            "held_open_s": 1.5,
            "relock": "on_close",  # so that it is locked when the alarm ends, whatever is left of the pulse
        },
        "liveness": {"kind": "none"},
        "record": {"max_pictures": 1000},
    }
    config_path.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    cutouts = clip.cut_out(open_networks(load_config(config_path)).detector)
    _say(
        f"Drawing a clip of {sum(s.seconds for s in SCENES):.0f} s from the portraits of {' and '.join(cutouts)}"
    )
    for number, view in enumerate(clip.enrollment_views(cutouts[COLLINS.person])):
        cv2.imwrite(str(out / "enroll" / f"{number}.png"), view)
    for number, frame in enumerate(clip.frames(SCENES, cutouts)):
        cv2.imwrite(str(out / "clip" / f"{number:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return config_path


def _run_terminal(config_path: Path) -> None:
    """Door and recogniser as processes of their own until clip and acts are over."""
    from edge.demo.actor import DemoActor
    from edge.demo.scenario import ACTIONS
    from edge.door.client import DoorClient

    config = load_config(config_path)
    arguments = ("--config", str(config_path))
    with (
        contextlib.closing(DoorClient(config.socket_path, timeout_s=_ANSWER_S)) as client,
        _process("edge.cli.door", "run", *arguments) as door,
    ):
        _until_it_answers(client, door)
        with _process("edge.cli.daemon", *arguments) as daemon:
            DemoActor(config, client, daemon.poll).run(ACTIONS, _say)
            _demand_success("edge.cli.daemon", daemon.wait())


@contextlib.contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is told to stop at the end, whatever happens meanwhile."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _until_it_answers(client: DoorClient, door: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + _START_S
    while True:
        try:
            client.status()
            return
        except DoorError:
            if door.poll() is not None or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _report(out: Path, config_path: Path) -> int:
    import cv2
    import numpy as np

    from edge.access.messages import describe_thresholds
    from edge.audit import picture_store
    from edge.audit.reader import read_log
    from edge.audit.sealing import picture_cipher, score_cipher
    from edge.bundle import read_manifest
    from edge.demo import outcome, report
    from edge.demo.scenario import SCENES
    from edge.gallery.store import read_evidence_key
    from edge.recogniser.build import build_rules

    config = load_config(config_path)
    key = read_evidence_key(config)
    decisions = read_log(config.decisions_path, score_cipher(key, config.terminal).decrypt_fields)
    try:
        told = outcome.build_outcome(SCENES, decisions, read_log(config.door_record_path))
    except ValueError as error:
        raise MfsaError(f"the demo has nothing to tell: {error}; see the lines above") from error

    def picture(png: bytes) -> NDArray[np.uint8]:
        return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), np.uint8)

    frames = [picture(path.read_bytes()) for path in sorted((out / "clip").glob("*.jpg"))]
    kept, cipher = config.pictures_path, picture_cipher(key, config.terminal)
    pictures = {
        number: picture(picture_store.read_picture(kept, number, cipher))
        for number in picture_store.list_pictures(kept)
    }
    manifest = read_manifest(config.bundle)
    templates = next(
        (record["templates"] for record in decisions if record.get("kind") == "started"), 0
    )
    facts = {
        "Model": f"{manifest.name}, {manifest.licence}",
        "Trained on": manifest.data,
        "Thresholds": describe_thresholds(
            build_rules(config.policy, manifest.calibration), templates
        ),
        "Portraits": "Eileen Collins (NASA) and Grace Hopper (US Navy), public domain; masks are drawn",
    }
    target = out / "report.html"
    target.write_text(report.render_report(told, frames, pictures, facts), encoding="utf-8")
    print(outcome.summary(told))
    print(f"Report: {target.resolve()}")
    if not told.passed:
        print(
            "edge-demo: the door did not behave as expected: see the lines marked FAIL. A machine "
            "that is too busy drops frames: close other programs and run it again",
            file=sys.stderr,
        )
        return common.FAILED
    print(outcome.PASSED)
    return common.DONE


def _call(module: str, *arguments: str) -> None:
    _demand_success(
        module, subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
    )


def _demand_success(module: str, code: int) -> None:
    if code:
        raise MfsaError(
            f"{module.rsplit('.', 1)[1]} ended with exit code {code}; see the lines above"
        )


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
