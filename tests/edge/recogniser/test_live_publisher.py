"""Live view of a running recogniser with its door."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera.sharing import RemoteCamera
from edge.cli import enroll
from edge.config import TerminalConfig, load_config
from edge.door.controller import OperatorCommand
from edge.errors import RecogniserError
from edge.live.client import LiveUpdate
from edge.live.protocol import LiveView
from edge.recogniser.daemon import Daemon
from tests.doors import RunningDoor, make_settings
from tests.live import live_reader
from tests.processes import call, until

WriteConfig = Callable[..., Path]
LOOPED = {"kind": "replay", "path": "clip", "fps": 20, "loop": True}


@contextmanager
def running(config: TerminalConfig) -> Iterator[None]:
    """Run a recogniser in a thread, which also opens its gallery."""
    opened: list[Daemon] = []

    def run() -> None:
        opened.append(Daemon(config))
        opened[0].run(lambda: config)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(lambda: bool(opened) or not thread.is_alive(), "the recogniser is open")
        yield
    finally:
        for daemon in opened:
            daemon.stop()
        thread.join()


@contextmanager
def running_door(config: TerminalConfig) -> Iterator[RunningDoor]:
    folder = config.socket_path.parent
    folder.mkdir(exist_ok=True)
    door = RunningDoor(folder, settings=make_settings(), clock=time.monotonic)
    try:
        yield door
    finally:
        door.stop()


def read_until(
    config: TerminalConfig, condition: Callable[[LiveView], bool], what: str
) -> LiveUpdate:
    """Read views until one fulfils a condition."""
    found: list[LiveUpdate] = []
    with live_reader(config.live_socket_path) as reader:

        def is_found() -> bool:
            found.append(reader.read())
            return condition(found[-1].view)

        until(is_found, what)
    return found[-1]


@pytest.fixture
def site(
    write_config: WriteConfig,
    clip: Callable[..., Path],
    collins: np.ndarray,
    tmp_path: Path,
) -> TerminalConfig:
    """Terminal with Eileen Collins enrolled, who stays in front of the camera."""
    clip((collins, 4))
    path = write_config(camera=LOOPED, record={"max_pictures": 10})
    cv2.imwrite(str(tmp_path / "collins.png"), collins)
    done = call(
        enroll.main, "--config", path, "--subject", "Eileen Collins", tmp_path / "collins.png"
    )
    assert done.returncode == 0, done.stderr
    return load_config(path)


def test_grant_is_shown_with_the_answer(site: TerminalConfig) -> None:
    with running_door(site), running(site):
        update = read_until(site, lambda view: view.door is not None, "the door answers")
    view, door = update.view, update.view.door
    (face,) = view.faces
    assert door is not None and (door.state, door.reason, door.missing) == ("unlocked", "", ())
    assert face.nearest and face.track == door.track and view.at <= door.at
    assert abs(view.wall - time.time()) < 3600 and view.camera == "ready"
    assert "Collins" not in view.model_dump_json()
    assert sum(view.stats.answer_s.counts) == 1 and sum(view.stats.decision_s.counts) >= 3
    assert view.stats.faces >= 3 and view.stats.frames >= 3 and view.stats.subjects == 1
    assert view.stats.engine.startswith("ort") and view.stats.supported_templates > 0


def test_progress_of_the_vote_grows(site: TerminalConfig) -> None:
    seen: list[float] = []

    def note(view: LiveView) -> bool:
        seen.extend(face.progress for face in view.faces)
        return bool(seen) and seen[-1] == 1

    with running(site):
        read_until(site, note, "the vote is complete")
    assert all(0 <= share <= 1 for share in seen)


def test_unreachable_door_is_shown(site: TerminalConfig) -> None:
    with running(site):
        view = read_until(site, lambda view: view.door is not None, "no answer").view
    assert view.door is not None
    assert (view.door.state, view.door.reason) == ("refused", "unreachable")
    assert sum(view.stats.answer_s.counts) == 0


def test_refusal_of_the_door_is_shown(site: TerminalConfig) -> None:
    with running_door(site) as door:
        door.pause()
        door.service.door.controller.execute(OperatorCommand.LOCKDOWN, time.monotonic())
        door.resume()
        with running(site):
            view = read_until(site, lambda view: view.door is not None, "refused").view
    assert view.door is not None and (view.door.state, view.door.reason) == ("refused", "lockdown")


def test_enrollment_is_shown_without_faces(site: TerminalConfig) -> None:
    with running(site):
        camera = RemoteCamera(site.enroll_socket_path)
        camera.read()
        stop = threading.Event()
        reading = threading.Thread(
            target=lambda: all(camera.read() for _ in iter(stop.is_set, True))
        )
        reading.start()
        try:
            update = read_until(site, lambda view: view.camera == "enrollment", "it begins")
        finally:
            stop.set()
            reading.join()
            camera.close()
        assert update.view.faces == () and update.picture
        read_until(site, lambda view: view.camera == "ready" and bool(view.faces), "it ended")


def test_lost_camera_is_shown_without_picture(
    write_config: WriteConfig, clip: Callable[..., Path], collins: np.ndarray
) -> None:
    folder = clip((collins, 40))
    config = load_config(write_config(camera=LOOPED))
    with running(config):
        read_until(config, lambda view: bool(view.faces), "a face is shown")
        for picture in folder.iterdir():
            picture.write_bytes(b"no picture")
        update = read_until(config, lambda view: view.camera == "lost", "the camera is lost")
    assert update.picture == b"" and update.view.faces == () and update.view.width == 0


def test_restart_serves_a_new_client(site: TerminalConfig) -> None:
    with running(site), live_reader(site.live_socket_path) as reader:
        first = reader.read().view
    with pytest.raises(RecogniserError, match="cannot be reached"):
        read_until(site, lambda view: True, "it ended")
    with running(site):
        again = read_until(site, lambda view: view.number >= 0, "a frame").view
    assert again.stats.started > first.stats.started


def test_socket_that_cannot_be_opened_is_logged(
    site: TerminalConfig, caplog: pytest.LogCaptureFixture
) -> None:
    site.live_socket_path.mkdir()
    with running_door(site) as door, running(site):
        until(lambda: "unlocked" in door.events(), "the door is unlocked without a live view")
    assert "the live view is not available" in caplog.text


def test_lanes_have_their_own_view(
    site: TerminalConfig, write_config: WriteConfig, clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip((np.full((480, 640, 3), 90, np.uint8), 2), name="empty")
    lanes = []
    for name, folder in (("one", "clip"), ("two", "empty")):
        camera = {**LOOPED, "path": folder, "lane": name}
        access = {"lanes": [{"name": "one"}, {"name": "two"}]}
        lanes.append(load_config(write_config(instance=name, camera=camera, access=access)))
    assert lanes[0].live_socket_path == tmp_path / "state" / "instances" / "one" / "live.sock"
    with running(lanes[0]), running(lanes[1]):
        read_until(lanes[0], lambda view: bool(view.faces), "the face at the first lane")
        other = read_until(lanes[1], lambda view: view.number >= 0, "a frame of the second lane")
    assert other.view.faces == ()


@pytest.mark.parametrize("instance", [None, "lane1"])
def test_group_reads_log_and_socket_only(
    site: TerminalConfig, write_config: WriteConfig, instance: str | None
) -> None:
    """As the units run it: umask 027. The group of the account must not read anything else."""
    shared = {"camera": LOOPED, "record": {"max_pictures": 10}, "door": {"state": "door"}}
    config = load_config(write_config(instance=instance, **shared))
    previous = os.umask(0o027)
    try:
        with running_door(config) as door, running(config):
            until(lambda: "unlocked" in door.events(), "the door is unlocked")
            until(lambda: any(config.pictures_path.glob("*")), "a picture is stored")
            found = {
                path.relative_to(config.state).as_posix(): path.stat().st_mode & 0o777
                for path in config.state.rglob("*")
            }
    finally:
        os.umask(previous)
    place = f"instances/{instance}/" if instance else ""
    log = f"{place}decisions"
    shown = {name: mode for name, mode in found.items() if mode & 0o077}
    segments = {name for name in found if name.startswith(f"{log}/") and name.endswith(".log")}
    expected = {log: 0o750, f"{place}live.sock": 0o660} | dict.fromkeys(segments, 0o640)
    if instance:
        expected |= {"instances": 0o710, f"instances/{instance}": 0o710}
    assert shown == expected and segments
    assert {"gallery.db", "gallery.key", f"{log}/state"} <= found.keys()
    assert [name for name in found if name.startswith(f"{place}pictures/")]
