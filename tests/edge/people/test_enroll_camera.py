"""Enrollment from the camera of a running recogniser, through the socket of edge-people."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.audit.reader import read_log
from edge.config import TerminalConfig, load_config
from edge.people_protocol import EnrollCameraRequest, HintEvent, RefusedEvent, RightsBody
from edge.portraits import COLLINS, load_portrait
from tests.edge.people.helpers import listed
from tests.people_service import CALL, PeopleClient, call, people_service
from tests.processes import Process, until


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("camera")
    (folder / "clip").mkdir()
    cv2.imwrite(str(folder / "clip" / "0.png"), load_portrait(COLLINS))
    (folder / "state").mkdir(mode=0o700)
    path = folder / "terminal.yaml"
    path.write_text(
        f"bundle: {bundle_path}\nstate: state\nliveness: {{kind: none}}\n"
        "camera: {kind: replay, path: clip, fps: 8, loop: true}\n"
    )
    return path


@pytest.fixture(scope="module")
def service(config_path: Path) -> Iterator[Path]:
    """Service next to a recogniser that recognises."""
    daemon = Process("edge.cli.daemon", "--config", config_path, log=config_path.parent / "log")
    door = Process("edge.cli.door", "run", "--config", config_path, log=config_path.parent / "door")
    decisions = load_config(config_path).decisions_path
    with door, daemon, people_service(config_path) as path:
        until(load_config(config_path).socket_path.exists, "edge-door listens")
        until(
            lambda: any(one["kind"] == "decision" for one in read_log(decisions)),
            "edge-daemon recognises",
        )
        yield path
        assert daemon.stop() == 0


def sessions(config: TerminalConfig) -> list[tuple[str, Any]]:
    """Return begin and end of the enrollments that the recogniser recorded."""
    records = [one for one in read_log(config.decisions_path) if one["kind"] == "enrollment"]
    return [(one["event"], one.get("reason")) for one in records]


def wait_for_end(config: TerminalConfig, count: int) -> None:
    until(
        lambda: [event for event, _ in sessions(config)].count("end") == count,
        "recognition continues",
    )


def request(name: str, **fields: Any) -> EnrollCameraRequest:
    """Return a request whose poses the portrait has; with frontal_only=False it takes 40 s."""
    options = {**CALL, "frontal_only": True, **fields}
    return EnrollCameraRequest(**options, kind="enroll-camera", name=name)


def read_to_hint(client: PeopleClient) -> HintEvent:
    event = client.next()
    assert isinstance(event, HintEvent)
    return event


def test_enrollment_from_the_camera(service: Path, config_path: Path) -> None:
    config = load_config(config_path)
    with closing(PeopleClient(service, request("Ada"))) as client:
        assert read_to_hint(client).code == "look-straight"
    wait_for_end(config, 1)  # closed: cancelled
    assert listed(service) == []
    events = call(service, request("Ada", rights=RightsBody(groups=("staff",)), consent="form"))
    hints = [event for event in events if isinstance(event, HintEvent)]
    assert [hint.captured for hint in hints if hint.pose][-1] == 2
    assert (hints[-1].code, hints[-1].captured, hints[-1].total) == ("finished", 3, 3)
    assert events[-1].event == "done"
    (ada,) = listed(service)
    assert ada.name == "Ada" and ada.rights == RightsBody(groups=("staff",))
    wait_for_end(config, 2)
    announced = [one for one in read_log(config.door_record_path) if one.get("user")]
    assert {(one["reason"], one["target"], one["user"]) for one in announced} == {
        ("change-people", "Ada", "ada")
    }
    until(
        lambda: any(one.get("subject") == "Ada" for one in read_log(config.decisions_path)),
        "the recogniser knows the person",
    )


def test_killed_process_stores_nothing(service: Path, config_path: Path) -> None:
    config = load_config(config_path)
    before = [event for event, _ in sessions(config)].count("end")
    with closing(PeopleClient(service, request("Eve", frontal_only=False))) as client:
        read_to_hint(client)
        for child in children_of_services():
            os.kill(child, signal.SIGKILL)
        assert client.next() is None or client.file.read() == b""
    wait_for_end(config, before + 1)
    assert "Eve" not in [person.name for person in listed(service)]


def test_second_enrollment_waits_its_turn(service: Path, config_path: Path) -> None:
    config = load_config(config_path)
    before = [event for event, _ in sessions(config)].count("end")
    with closing(PeopleClient(service, request("Eve", frontal_only=False))) as first:
        read_to_hint(first)
        refused = call(service, request("Zoe"))[-1]
    assert isinstance(refused, RefusedEvent) and refused.code == "camera-failed"
    assert "another enrollment uses this camera" in refused.text
    wait_for_end(config, before + 1)


def children_of_services() -> list[int]:
    """Return the processes of requests: the children of the services that this test started."""
    services = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    found = []
    for process in services:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
        if b"edge.cli.people" in command:
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
            found += [int(child) for child in children.split()]
    assert found
    return found
