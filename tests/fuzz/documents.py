"""Targets that parse documents of people and tools.

The configuration, a bundle's manifest, a plan's sidecar, the door's note.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from edge.bundle import EMBEDDER, EMBEDDER_NETWORK, MANIFEST, onnx_file, open_bundle, read_manifest
from edge.chip import PREPROCESSING
from edge.config import load_config
from edge.config.restart import check_unchanged
from edge.door.file_backend import FileInputLine
from edge.door.hardware import load_outputs
from edge.door.settings import build_settings
from edge.engine.cuda import GpuDevice, read_board, read_l4t
from edge.engine.sidecar import PlanRequirements, check_sidecar, read_sidecar, sidecar_path
from edge.errors import BundleError, ConfigError, DoorError, EngineError
from tests.fuzz.source import Source, corrupted, edited
from tests.fuzz.target import Run, Target, expect

ROOT = Path(__file__).resolve().parents[2]
RAW, CORRUPTED, EDITED = b"\0", b"\1", b"\2"

_LEAST = {"bundle": "b", "camera": {"kind": "replay", "path": "clip"}, "liveness": {"kind": "none"}}
_FULL = {
    **_LEAST,
    "terminal": "lobby",
    "key": "gallery.key",
    "camera": {
        "kind": "opencv",
        "source": "rtsp://user:secret@camera/1",
        "width": 640,
        "accept_network_injection": True,
    },
    "engine": {"kind": "auto", "precision": "int8", "allow_ort": True},
    "detector": {"zone": [0.1, 0.0, 1.0, 1.0], "max_faces_per_frame": 3},
    "policy": {"mask": "ask", "threshold_masked": 0.7},
    "liveness": {
        "kind": "layers",
        "challenge": "hours",
        "challenge_hours": [{"days": ["sat"], "begin": "22:00", "end": "06:00"}],
    },
    "door": {
        "relay": {"kind": "gpio", "pin": "BOARD7", "factory": "mock"},
        "alarm": {"kind": "file", "path": "alarm"},
        "inputs": {
            "contact": {"kind": "file", "path": "contact"},
            "fire": {"kind": "gpio", "pin": 4, "active_high": False, "factory": "mock"},
        },
        "operators": ["root", "nobody"],
        "schedule": {
            "time_zone": "Europe/Berlin",
            "holidays": ["2026-12-25"],
            "spans": [
                {"days": ["mon-fri", "holiday"], "begin": "08:00", "end": "17:30", "mode": "open"}
            ],
        },
    },
    "record": {"on_write_failure": "open", "max_pictures": 3},
}
_MOMENTS = tuple(
    datetime(2026, 3, 29, tzinfo=timezone.utc) + timedelta(hours=7 * n) for n in range(30)
)


def _changed(source: Source, texts: Sequence[bytes], trees: Sequence[Any], dump: Any) -> bytes:
    """Raw bytes, a text with corrupted bytes, or a tree with other values, by the first byte."""
    mode = source.number(3)
    if mode == 0:
        return source.rest()
    if mode == 1:
        return corrupted(source.choose(texts), source)
    return bytes(dump(edited(source.choose(trees), source)))


def _yaml(tree: Any) -> bytes:
    try:
        return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return json.dumps(tree).encode()


def _json(tree: Any) -> bytes:
    try:
        return json.dumps(tree).encode()
    except ValueError:  # a number with more digits than Python writes
        return repr(tree).encode("utf-8", "surrogatepass")


def _open_config(folder: Path, at_end: ExitStack) -> Run:
    path = folder / "terminal.yaml"
    texts = [
        (ROOT / "systemd" / "terminal.yaml").read_bytes(),
        yaml.safe_dump(_FULL).encode(),
        yaml.safe_dump(_LEAST).encode(),
    ]
    trees = [_LEAST, _FULL, yaml.safe_load(texts[0])]

    def run(data: bytes) -> None:
        path.write_bytes(_changed(Source(data), texts, trees, _yaml))
        try:
            config = load_config(path)
        except ConfigError as error:
            expect(":secret@" not in str(error), "a password in a message")
            return
        check_unchanged(config, config, "door")
        settings = build_settings(config)
        for moment in _MOMENTS:  # a configuration that loads must not fail at the door later
            settings.schedule.mode_at(moment, clock_trusted=True)

    return run


def _manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (ROOT / "edge" / "models" / "reference" / MANIFEST).read_bytes()
    )
    return found


def _open_manifest(folder: Path, at_end: ExitStack) -> Run:
    """The digest of each file is what an attacker would make it: right."""
    content = b"weights"
    tree = _manifest()
    for name, entry in tree["files"].items():
        (folder / name).write_bytes(content)
        entry["sha256"] = hashlib.sha256(content).hexdigest()
    text = json.dumps(tree).encode()

    def run(data: bytes) -> None:
        source = Source(data)
        complete = source.number(2) == 1
        (folder / MANIFEST).write_bytes(_changed(source, [text], [tree], _json))
        with contextlib.suppress(BundleError):
            read_manifest(folder)
        with contextlib.suppress(BundleError):
            bundle = open_bundle(folder, PREPROCESSING, complete=complete)
            expect(
                all((folder / name).is_file() for name in bundle.manifest.files),
                "a bundle that lacks a file was opened",
            )
            for precision in ("fp32", "fp16", "int8"):
                with contextlib.suppress(BundleError):
                    bundle.calibration(precision)
                bundle.plan_sources(EMBEDDER_NETWORK, precision)
                if EMBEDDER in bundle.manifest.files:
                    with contextlib.suppress(BundleError, EngineError):
                        path = bundle.onnx_path(EMBEDDER_NETWORK, precision)
                        expect(
                            path == folder / onnx_file(EMBEDDER_NETWORK, precision),
                            "a file elsewhere was named",
                        )

    return run


_DEVICE = GpuDevice("Orin", "8.7", "R36.4.0", "board")


def _sidecar(plan: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(plan).hexdigest()
    return {
        "schema_version": 1,
        "network": "embedder",
        "precision": "fp16",
        "plan": digest,
        "onnx": "b" * 64,
        "reference": "c" * 64,
        "builder": "tensorrt",
        "tensorrt": "10.3.0",
        "gpu": "Orin",
        "compute_capability": "8.7",
        "l4t": "R36.4.0",
        "board": "board",
        "tensors": [{"name": "input", "shape": [-1, 3, 112, 112], "dtype": "FLOAT"}],
        "batch": [1, 4, 8],
        "flags": ["FP16"],
        "workspace_mib": 512,
        "dla_core": None,
        "off_dla": [],
        "calibration": "",
        "power_mode": "MAXN",
        "built_at": "2026-01-01",
        "build_seconds": 1.5,
        "verdict": {
            "passed": True,
            "judged": digest,
            "reference": "c" * 64,
            "samples": 8,
            "figures": {"min_cosine": 1.0},
        },
    }


def _open_sidecar(folder: Path, at_end: ExitStack) -> Run:
    plan, content = folder / "embedder-fp16.plan", b"plan"
    tree = _sidecar(content)
    wanted = PlanRequirements("embedder", "fp16", "c" * 64, frozenset({"b" * 64}))

    def run(data: bytes) -> None:
        written = _changed(Source(data), [json.dumps(tree).encode()], [tree], _json)
        sidecar_path(plan).write_bytes(written)
        with contextlib.suppress(EngineError):
            sidecar = read_sidecar(plan)
            check_sidecar(plan, content, sidecar, _DEVICE, "10.3.0", wanted)
            expect(
                sidecar.verdict is not None and sidecar.verdict.passed,
                "a plan without a passing verdict was let through",
            )

    return run


def _open_notes(folder: Path, at_end: ExitStack) -> Run:
    """Small files of the door and of the machine.

    The wiring's note, a line that is a file, release and board of a Jetson.
    """
    note = {
        "relay": {"kind": "file", "path": "relay"},
        "alarm": {"kind": "gpio", "pin": 7, "active_high": True, "factory": "mock"},
    }
    texts = [
        json.dumps(note).encode(),
        b"1\n",
        b"# R36 (release), REVISION: 4.0, GCID: 1, BOARD: generic\n",
        b"Orin\0",
    ]

    def run(data: bytes) -> None:
        path = folder / "note"
        path.write_bytes(_changed(Source(data), texts, [note], _json))
        load_outputs(path)
        with contextlib.suppress(DoorError):
            FileInputLine(path).is_active()
        read_l4t(path)
        read_board(path)

    return run


def _seeds_of(*texts: bytes) -> list[bytes]:
    choices = [EDITED + bytes([n, n % 4, *range(n, n + 24)]) for n in range(24)]
    return [*(RAW + text for text in texts), CORRUPTED + b"\0\0\0\0\1\1", *choices]


TARGETS = (
    Target(
        "config",
        "`load_config`, and the schedule of an accepted file",
        _open_config,
        lambda: _seeds_of(
            yaml.safe_dump(_FULL).encode(),
            yaml.safe_dump(_LEAST).encode(),
            b"a: &a [*a]",
            b"{" * 50,
        ),
    ),
    Target(
        "manifest",
        "`read_manifest` and `open_bundle`",
        _open_manifest,
        lambda: [
            complete + seed
            for complete in (b"\0", b"\1")
            for seed in _seeds_of(b"{}", b'{"schema_version": 1}', b"[" * 50)
        ],
    ),
    Target(
        "sidecar",
        "`read_sidecar` and `check_sidecar` of plans",
        _open_sidecar,
        lambda: _seeds_of(_json(_sidecar(b"plan"))),
    ),
    Target(
        "notes",
        "the note of outputs, inputs that are files, release and board of a Jetson",
        _open_notes,
        lambda: _seeds_of(b"{}"),
    ),
)
