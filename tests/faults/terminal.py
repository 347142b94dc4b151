"""Terminal whose processes run as their units say; its camera shows an enrolled person."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import yaml

from edge.config import load_config
from edge.portraits import COLLINS, load_portrait
from tests.faults.line import Line
from tests.faults.systemd import Service
from tests.processes import until

PULSE_S = 1.0
_COOLDOWN_S = 2.0
_POLL_S = 0.005


class Terminal:
    """Use in a `with` block: at its end both processes are stopped."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.faults = folder, folder / "faults"
        self.faults.mkdir(parents=True)
        clip = folder / "clip"
        clip.mkdir()
        for number in range(12):
            picture = (
                load_portrait(COLLINS) if number >= 3 else np.full((480, 640, 3), 90, np.uint8)
            )
            cv2.imwrite(str(clip / f"{number:05d}.png"), picture)
        fields = {
            "terminal": "faults",
            "bundle": str(bundle.resolve()),
            "camera": {"kind": "replay", "path": "clip", "fps": 10, "loop": True},
            "policy": {"cooldown_s": _COOLDOWN_S},
            "liveness": {"kind": "none"},
            "door": {
                "pulse_s": PULSE_S,
                "relay": {"kind": "file", "path": "relay"},
                "state": "door",
            },
        }
        self.config_path = folder / "terminal.yaml"
        self.config_path.write_text(yaml.safe_dump(fields), encoding="utf-8")
        self.config = load_config(self.config_path)
        enroll = [
            sys.executable,
            "-m",
            "edge.cli.enroll",
            "--config",
            str(self.config_path),
            "--subject",
            COLLINS.person,
        ]
        subprocess.run([*enroll, str(clip / "00005.png")], check=True, stdout=subprocess.DEVNULL)
        # A socket's path may have 107 bytes, and folders of tests are long.
        self._notify = tempfile.TemporaryDirectory(prefix="mfsa-faults-")

    def __enter__(self) -> Terminal:
        self.door = self._service("edge-door.service", "edge.cli.door", ["run"], ["safe-state"])
        self.daemon = self._service("edge-daemon.service", "edge.cli.daemon", [], [])
        self.line = Line(self.config_path.parent / "relay")
        return self

    def __exit__(self, *_: object) -> None:
        for fault in self.faults.iterdir():
            fault.unlink()
        self.daemon.stop()
        self.door.stop()
        self.line.close()
        self._notify.cleanup()

    def _service(self, unit: str, module: str, run: list[str], after: list[str]) -> Service:
        config = ["--config", str(self.config_path)]
        hooked = ["-m", "tests.faults.hooked", str(self.faults), module]
        return Service(
            unit,
            [*hooked, *run, *config],
            [*hooked, *after, *config] if after else [],
            log=self.folder / f"{unit}.log",
            notify=Path(self._notify.name) / unit,
            environment={
                "PYTHONUNBUFFERED": "1",
                "RUNTIME_DIRECTORY": str(self.config.socket_path.parent),
            },
        )

    def energised_after(self, moment: float) -> float:
        """Wait until the lock is energised after a moment; return when. Raises TimeoutError."""
        until(
            lambda: self.line.energised_since(moment) is not None,
            f"the door is unlocked; see {self.folder}/*.log",
            poll_s=_POLL_S,
        )
        at = self.line.energised_since(moment)
        assert at is not None
        return at

    def wait_locked(self) -> None:
        """Raises TimeoutError."""
        until(
            lambda: not self.line.energised,
            f"the door is locked; see {self.folder}/*.log",
            poll_s=_POLL_S,
        )
