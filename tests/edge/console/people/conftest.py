"""Console with a real edge-people."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from edge.audit.reader import read_log
from edge.config import TerminalConfig, load_config
from edge.portraits import COLLINS, load_portrait
from tests.people_service import people_service
from tests.processes import Process, until


@pytest.fixture
def console_config(tmp_path: Path, bundle_path: Path) -> Iterator[TerminalConfig]:
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), load_portrait(COLLINS))
    with tempfile.TemporaryDirectory(prefix="mfsa-console-") as folder:
        path = tmp_path / "terminal.yaml"
        path.write_text(
            f"bundle: {bundle_path}\nstate: state\nliveness: {{kind: none}}\n"
            "camera: {kind: replay, path: clip, fps: 8, loop: true}\n"
            f"console: {{people_socket: {folder}/people.sock}}\nrecord: {{max_pictures: 50}}\n"
        )
        (tmp_path / "state").mkdir(mode=0o700)
        yield load_config(path)


@pytest.fixture
def service(console_config: TerminalConfig, tmp_path: Path) -> Iterator[Path]:
    """Path of the socket of edge-people."""
    with people_service(tmp_path / "terminal.yaml") as path:
        yield path


@pytest.fixture
def recogniser(console_config: TerminalConfig, tmp_path: Path) -> Iterator[None]:
    """Recogniser that sees a person."""
    with Process(
        "edge.cli.daemon", "--config", tmp_path / "terminal.yaml", log=tmp_path / "daemon.log"
    ):
        until(
            lambda: any("verdict" in record for record in read_log(console_config.decisions_path)),
            "edge-daemon recognises",
        )
        yield
