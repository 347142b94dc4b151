"""`edge-setup`: answers by options and by dialog, and the file that is written."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cli.setup import main
from edge.config import load_config
from tests.processes import TIMEOUT_S, until

SETUP = [sys.executable, "-m", "edge.cli.setup"]


@pytest.fixture
def photo(tmp_path: Path, collins: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photo in an otherwise empty working folder; its name looks like one of a series."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("me1.png", collins)
    return tmp_path / "me1.png"


@pytest.fixture
def options(bundle_path: Path, photo: Path) -> Callable[..., list[str]]:
    """Return every option; a keyword argument replaces one, or omits it if None."""

    def build(*more: str, **changes: str | None) -> list[str]:
        chosen = {"camera": photo.name, "bundle": str(bundle_path), "door": "simulated"}
        given = {**chosen, "liveness": "none", **changes}
        named = [word for key, value in given.items() if value for word in (f"--{key}", value)]
        return [*named, "--yes", *more]

    return build


def dialog(answers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SETUP, *arguments],
        input=answers,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_setup_by_options_writes_what_loads(
    options: Callable[..., list[str]], photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options()) == 0
    config = load_config(Path("terminal.yaml"))
    assert config.camera.kind == "replay" and config.camera.path == photo
    assert config.door.relay.kind == "simulated" and config.liveness.kind == "none"
    shown = capsys.readouterr().out
    assert "a photo of an enrolled person opens this door" in shown
    assert "ok       camera" in shown and "edge-enroll --config terminal.yaml" in shown


def test_setup_overwrites_only_by_force(
    options: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("terminal.yaml").write_text("mine")
    assert main(options()) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("terminal.yaml").read_text() == "mine"
    assert main(options("--force")) == 0
    assert load_config(Path("terminal.yaml")).terminal == "terminal"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"liveness": None}, "--liveness: required"),
        ({"camera": "none.mp4"}, "no such file or folder"),
        ({"camera": "~no-such-account/me.png"}, "no such file or folder"),
        ({"camera": "x" * 5000}, "no such file or folder"),
        ({"bundle": "~no-such-account/bundle"}, "no such folder"),
        ({"camera": "rtsp://camera/live"}, "--accept-network-injection: required"),
        ({"bundle": "none"}, "mfsa-bundle make none"),
        ({"door": "gpio"}, "expected simulated, file:PATH or gpio:PIN"),
        ({"door": "gpio:9999"}, "door.relay"),
        ({"terminal": "no/name"}, "terminal"),
    ],
)
def test_setup_wrong_option_writes_nothing(
    options: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    part: str,
) -> None:
    assert main(options(**changes)) == 2
    assert part in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["me1.png"]


@pytest.mark.parametrize("camera", ["rtsp:/admin:s3cret@host/1", "rtspsrc user-pw=s3cret"])
def test_setup_mistyped_address_is_hidden(
    options: Callable[..., list[str]], capsys: pytest.CaptureFixture[str], camera: str
) -> None:
    assert main(options(camera=camera)) == 2
    shown = capsys.readouterr()
    assert "no such file" in shown.err and "s3cret" not in shown.err + shown.out


def test_setup_camera_that_fails_is_exit_1(
    options: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("film.mp4").write_text("not a film")
    assert main(options(camera="film.mp4")) == 1
    assert "ERROR    camera" in capsys.readouterr().out and Path("terminal.yaml").exists()


def test_setup_password_is_for_the_owner_alone(
    options: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.ops.doctor.examine", lambda config, checks: [])
    address = options("--accept-network-injection", camera="rtsp://u:p@127.0.0.1:9/live")
    assert main(address) == 0
    assert Path("terminal.yaml").stat().st_mode & 0o077 == 0


def test_setup_dialog_asks_again_and_enrolls(photo: Path, bundle_path: Path) -> None:
    answers = ["nothing.png", photo.name, "nowhere", str(bundle_path), "", "", "maybe", "none"]
    done = dialog("\n".join([*answers, "Eileen Collins", photo.name, ""]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no such file or folder" in done.stdout and "mfsa-bundle make nowhere" in done.stdout
    assert "expected layers or none" in done.stdout and "Eileen Collins" in done.stdout
    assert load_config(Path("terminal.yaml")).gallery_path.exists()
    assert "edge-enroll" not in done.stdout.rpartition("Next:")[2]


@pytest.mark.parametrize("answers", ["", "me1.png\n"])
def test_setup_input_that_ends_writes_nothing(photo: Path, answers: str) -> None:
    done = dialog(answers)
    assert done.returncode == 1 and "nothing was written" in done.stderr
    assert "Traceback" not in done.stderr and not Path("terminal.yaml").exists()


def test_setup_ctrl_c_is_one_line(photo: Path) -> None:
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(
        SETUP, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=lambda: _control(terminal),
    )  # fmt: skip
    os.close(terminal)
    shown = bytearray()
    until(lambda: b"Camera (" in _more(main_end, shown), "asks")
    until(lambda: _interrupt(main_end, shown), "says that it stopped")
    assert process.wait(TIMEOUT_S) == 1 and b"Traceback" not in shown
    os.close(main_end)
    assert not Path("terminal.yaml").exists()


def _control(terminal: int) -> None:
    """Make a terminal the controlling one, so that Ctrl-C is a signal."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _interrupt(terminal: int, shown: bytearray) -> bool:
    """Press Ctrl-C; Python notices one that comes just before a read only at the next one."""
    if b"edge-setup: stopped" in _more(terminal, shown):
        return True
    with suppress(OSError):  # the other end is closed
        os.write(terminal, b"\x03")
    return False


def _more(terminal: int, shown: bytearray) -> bytearray:
    """Add what can be read within a moment."""
    with suppress(OSError):  # the other end is closed
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 4096)
    return shown
