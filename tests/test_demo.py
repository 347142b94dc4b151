"""Demo of the README, from the bundle to the report."""

from __future__ import annotations

import signal
import socket
import ssl
import urllib.request
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from edge.demo.outcome import PASSED
from tests.bundles import CALIBRATION
from tests.processes import TIMEOUT_S, Process, run, until

Demo = tuple[CompletedProcess[str], Path]


@pytest.fixture(scope="module")
def demo(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A finished demo and its folder."""
    out = tmp_path_factory.mktemp("d") / "demo"
    return run("edge.cli.demo", "--bundle", bundle_path, "--out", out), out


def test_the_door_does_all_that_is_promised_of_it(demo: Demo) -> None:
    done, out = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("door opens at") == 2 and "door refuses: lockdown" in done.stdout
    assert done.stdout.count("door asks for a card or PIN at") == 2
    assert PASSED in done.stdout and "no PAD" in done.stdout
    page = (out / "report.html").read_text()
    assert (
        f"thresholds {CALIBRATION.unmasked.threshold:.3f} unmasked" in page
        and "masked for 3 templates; false-positive" in page
    )
    assert PASSED in page and all(
        lane in page
        for lane in (
            "asks for PIN",
            "silent alarm",
            "held-open alarm",
            "lockdown",
            "fire, until reset",
        )
    )


def test_without_a_bundle_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = run("edge.cli.demo", "--bundle", tmp_path / "none", "--out", tmp_path / "demo")
    assert done.returncode == 1
    assert "mfsa-bundle make" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()


def test_demo_is_served_with_its_console(demo: Demo, tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    _, out = demo
    ports = [str(port) for port in free_ports(2)]
    options = ["--serve", "--out", out, "--port", ports[0], "--kiosk-port", ports[1]]
    with Process("edge.cli.demo", *options, log=tmp_path / "log") as serving:
        until(lambda: serving.said("Ctrl-C ends the demo"), "the console is served")
        assert serving.said("one-time code of admin")
        assert "<html" in fetch(f"http://127.0.0.1:{ports[1]}/kiosk")
        assert "<html" in fetch(f"https://127.0.0.1:{ports[0]}/first-login")
        until(lambda: serving.said("door unlocked"), "the door opens for a person of the clip")
        serving.popen.send_signal(signal.SIGTERM)
        assert serving.popen.wait(TIMEOUT_S) == 1
    assert serving.said("edge-demo: stopped") and not serving.said("Traceback")


def test_serving_without_a_demo_is_refused(tmp_path: Path) -> None:
    done = run("edge.cli.demo", "--serve", "--out", tmp_path)
    assert done.returncode == 1 and "run first: edge-demo" in done.stderr


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def fetch(address: str) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # made by the console
    with urllib.request.urlopen(address, timeout=TIMEOUT_S, context=context) as answer:
        return str(answer.read().decode())
