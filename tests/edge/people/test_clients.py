"""Clients of edge-people that leave or wait."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edge.config import load_config
from edge.people.service import PROCESSES_MAX
from edge.people_protocol import EnrollPhotosRequest, PhotoPart, RemoveRequest, RightsBody
from edge.portraits import COLLINS
from tests.edge.people.helpers import listed
from tests.people_service import CALL, PeopleClient, finish, people_service, photo_of
from tests.processes import Process, until


def test_removal_is_completed_without_client(write_config: Callable[..., Path]) -> None:
    path = write_config()
    config = load_config(path)
    photo = photo_of(COLLINS)[1]
    parts = (PhotoPart(name="a.png", size=len(photo)),)
    person = {"name": "Ada", "rights": RightsBody(groups=("staff",))}
    with people_service(path) as service:
        enroll = EnrollPhotosRequest(**CALL, kind="enroll-photos", photos=parts, **person)
        finish(service, enroll, photo)
        door = config.people_path.with_name("door.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as absent:
            absent.bind(str(door))  # each change warns that this door does not answer
        removal = RemoveRequest(**CALL, kind="remove", name="Ada", reason="left")
        PeopleClient(service, removal).close()
        until(lambda: "Ada" not in config.people_path.read_text(), "the door forgets the person")
        door.unlink()
        assert listed(service) == []


def test_busy_service_waits_without_load(write_config: Callable[..., Path], tmp_path: Path) -> None:
    path, log = tmp_path / "s", tmp_path / "log"
    options = ("serve", "--config", write_config(), "--socket", path)
    with (
        Process("edge.cli.people", *options, log=log) as process,
        contextlib.ExitStack() as clients,
    ):
        until(path.exists, "edge-people listens")
        for _ in range(PROCESSES_MAX + 1):
            clients.enter_context(closing(PeopleClient(path, b"")))
        server = Path("/proc", str(process.popen.pid))
        children = server / "task" / server.name / "children"
        until(lambda: len(children.read_text().split()) == PROCESSES_MAX, "no place is free")
        before = count_waits(server)
        until(lambda: count_waits(server) > before + 2, "the server sleeps")
        assert process.popen.poll() is None


def count_waits(process: Path) -> int:
    """Return how often a process waited by its own will."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
