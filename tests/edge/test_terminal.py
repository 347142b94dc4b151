"""Door and recogniser as processes, as under systemd, with failures of their parts."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import yaml

from edge.audit.picture_store import read_picture
from edge.audit.reader import read_log
from edge.audit.sealing import picture_cipher, score_cipher
from edge.audit.segments import list_segments
from edge.cli import bench, daemon, doctor, door, enroll, gallery
from edge.config import TerminalConfig, load_config
from edge.door.client import DoorClient
from edge.errors import DoorError
from edge.face.regions import REGIONS
from edge.gallery.key import load_key
from edge.gallery.store import GalleryStore, read_evidence_key
from edge.portraits import COLLINS, load_portrait
from tests.bundles import make_once
from tests.explanations import add_explanation
from tests.processes import TIMEOUT_S, Process, call, run, until
from tests.streams import MjpegCamera, mjpeg_camera

EMPTY = np.full((480, 640, 3), 90, np.uint8)
DOOR, DAEMON, ENROLL = "edge.cli.door", "edge.cli.daemon", "edge.cli.enroll"


class Site:
    """Terminal in a folder: configuration, processes and audit logs."""

    def __init__(self, folder: Path, config_path: Path) -> None:
        self.folder = folder
        self.config_path = config_path
        self._loaded: tuple[str, TerminalConfig] | None = None

    @property
    def config(self) -> TerminalConfig:
        """Configuration, loaded again after a change of the file."""
        text = self.config_path.read_text()
        if self._loaded is None or self._loaded[0] != text:
            self._loaded = text, load_config(self.config_path)
        return self._loaded[1]

    def door(self) -> Process:
        process = Process(DOOR, "run", "--config", self.config_path, log=self.folder / "door.log")
        until(
            lambda: self.door_state() is not None or process.popen.poll() is not None,
            "the door answers",
        )
        return process

    def daemon(self, name: str = "daemon") -> Process:
        return Process(DAEMON, "--config", self.config_path, log=self.folder / f"{name}.log")

    def enroll(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """Run edge-enroll in this process."""
        return call(enroll.main, "--config", self.config_path, *options)

    def door_state(self) -> str | None:
        client = DoorClient(self.config.socket_path, timeout_s=TIMEOUT_S)
        try:
            return str(client.status()["state"])
        except DoorError:
            return None
        finally:
            client.close()

    def door_events(self) -> list[str]:
        return [r["event"] for r in read_log(self.config.door_record_path)]

    def decisions(self, **wanted: object) -> list[dict[str, object]]:
        config = self.config
        unseal = score_cipher(read_evidence_key(config), config.terminal).decrypt_fields
        return [
            r
            for r in read_log(config.decisions_path, unseal)
            if all(r.get(k) == v for k, v in wanted.items())
        ]


@pytest.fixture(scope="session")
def enrolled_state(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path) -> Path:
    """State of a terminal with Eileen Collins enrolled; never write into it."""
    return make_once(tmp_path_factory, "state", partial(_enroll_collins, bundle_path))


def _enroll_collins(bundle_path: Path, state: Path, scratch: Path) -> None:
    photo = scratch / "collins.png"
    cv2.imwrite(str(photo), load_portrait(COLLINS))
    camera = {"kind": "replay", "path": "clip"}
    fields = {"terminal": "test", "bundle": str(bundle_path), "state": str(state), "camera": camera}
    config = scratch / "terminal.yaml"
    config.write_text(yaml.safe_dump({**fields, "liveness": {"kind": "none"}}))
    done = run(ENROLL, "--config", config, "--subject", "Eileen Collins", photo)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def site(
    tmp_path: Path,
    write_config: Callable[..., Path],
    clip: Callable[..., Path],
    collins: np.ndarray,
    enrolled_state: Path,
) -> Site:
    """Terminal with Eileen Collins enrolled, who is repeatedly in front of the camera."""
    clip((EMPTY, 3), (collins, 9))
    cv2.imwrite(str(tmp_path / "collins.png"), collins)
    shutil.copytree(enrolled_state, tmp_path / "state")
    camera = {"kind": "replay", "path": "clip", "fps": 10, "loop": True}
    policy = {"cooldown_s": 0.8}
    patient = {"confirm_s": 60.0}  # a busy machine takes its time to confirm a change
    timing = {"pulse_s": 0.5}
    return Site(tmp_path, write_config(camera=camera, policy=policy, door=timing, gallery=patient))


def test_known_face_opens_and_is_recorded(site: Site) -> None:
    with site.door() as door_process, site.daemon() as recogniser:
        until(lambda: "relocked" in site.door_events(), "opened and closed")
        assert recogniser.stop() == 0
        assert door_process.stop() == 0
    grant = site.decisions(verdict="grant")[0]
    assert (
        grant["subject"] == "Eileen Collins"
        and grant["votes"] == 3
        and grant["liveness"] == "no PAD"
    )
    assert grant["score"] >= grant["threshold"] and set(grant["attention"]) >= {
        "on_eyes",
        "mean_mask",
    }  # type: ignore[operator, call-overload]
    unlocked = next(r for r in read_log(site.config.door_record_path) if r["event"] == "unlocked")
    assert unlocked["record_id"] == grant["id"]
    assert site.door_events()[0] == "started" and site.door_events()[-1] == "stopped"
    assert site.decisions(kind="door")[0]["outcome"] == "unlocked"
    assert recogniser.said("liveness is off (no PAD)")
    assert not site.config.pictures_path.exists()


def test_grant_is_explained(site: Site, bundle_path: Path) -> None:
    bundle = site.folder / "bundle"
    shutil.copytree(bundle_path, bundle)
    add_explanation(bundle)
    fields = yaml.safe_load(site.config_path.read_text())
    fields.update(bundle=str(bundle), record={"max_pictures": 5})
    site.config_path.write_text(yaml.safe_dump(fields))
    with site.door(), site.daemon() as recogniser:
        until(lambda: bool(site.decisions(kind="explanation")), "a decision is explained")
        assert recogniser.stop() == 0
    record = site.decisions(kind="explanation")[0]
    grant = site.decisions(verdict="grant")[0]
    terms = record["explanation"]
    assert record["decision"] == grant["id"] and isinstance(terms, dict)
    parts = sum(terms[name] for name in (*REGIONS, "bias"))
    assert parts == pytest.approx(terms["score"], abs=1e-3) and "eyes" in terms["without"]
    cipher = picture_cipher(read_evidence_key(site.config), site.config.terminal)
    png = read_picture(site.config.pictures_path, int(str(grant["id"])), cipher)
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (112, 336, 3)


def test_recogniser_killed_door_still_locks(site: Site) -> None:
    with site.door(), site.daemon() as recogniser:
        until(lambda: "unlocked" in site.door_events(), "opened")
        recogniser.popen.send_signal(signal.SIGKILL)
        recogniser.popen.wait()
        until(lambda: site.door_state() == "locked", "locked again")
        opened = site.door_events().count("unlocked")
        with site.daemon("again"):  # and a fresh one takes over
            until(lambda: site.door_events().count("unlocked") > opened, "opened by the next one")
        assert "relocked" in site.door_events()


def test_recogniser_without_door_finds_it_later(site: Site) -> None:
    with site.daemon() as recogniser:
        until(lambda: bool(site.decisions(kind="door", outcome="unreachable")), "missed the door")
        assert recogniser.said("is edge-door running?")
        with site.door():
            until(lambda: "unlocked" in site.door_events(), "found the door")


def test_door_killed_starts_locked(site: Site) -> None:
    with site.door() as door_process, site.daemon():
        until(lambda: "unlocked" in site.door_events(), "opened")
        door_process.popen.send_signal(signal.SIGKILL)
        door_process.popen.wait()
    with site.door():
        assert site.door_state() == "locked"


def test_camera_lost_is_reported_and_comes_back(site: Site) -> None:
    clip = site.folder / "clip"
    with site.door(), site.daemon() as recogniser:
        until(lambda: "unlocked" in site.door_events(), "opened")
        clip.rename(site.folder / "away")
        until(lambda: recogniser.said("camera lost"), "noticed the loss")
        assert recogniser.popen.poll() is None
        opened = site.door_events().count("unlocked")
        (site.folder / "away").rename(clip)
        until(lambda: recogniser.said("the camera is back"), "noticed the return")
        until(lambda: site.door_events().count("unlocked") > opened, "opened again")


def change_camera(site: Site, **camera: object) -> None:
    fields = yaml.safe_load(site.config_path.read_text())
    site.config_path.write_text(yaml.safe_dump({**fields, "camera": camera}))


def test_camera_rotated_recognises_and_enrolls(
    site: Site, clip: Callable[..., Path], collins: np.ndarray
) -> None:
    clip((np.rot90(collins), 9), name="turned")
    change_camera(site, kind="replay", path="turned", fps=10, loop=True, rotate=90)
    with site.door(), site.daemon():
        until(lambda: "unlocked" in site.door_events(), "opened")
        person = ("--subject", "Eileen Collins", "--frontal-only")
        done = site.enroll(*person)
        assert done.returncode == 0 and "3 of 3 poses done" in done.stderr, done.stderr


def test_camera_missing_at_start_is_a_state(site: Site, collins: np.ndarray) -> None:
    """A network camera is switched on later, is lost, and comes back."""
    first = MjpegCamera(collins)
    first.close()
    change_camera(site, kind="opencv", source=first.address, accept_network_injection=True)
    with site.door(), site.daemon() as recogniser:
        until(lambda: recogniser.said("camera lost: camera http://127.0.0.1"), "noticed the loss")
        assert recogniser.popen.poll() is None
        again = MjpegCamera(collins, port=first.port)
        until(lambda: recogniser.said("the camera is back"), "noticed the return")
        until(lambda: "unlocked" in site.door_events(), "opened")
        again.close()
        until(lambda: len(site.decisions(event="camera-lost")) == 2, "recorded the second loss")
        assert recogniser.stop() == 0
    events = [record["event"] for record in site.decisions(kind="camera")]
    assert events == ["camera-lost", "camera-back", "camera-lost"]


def test_frames_of_a_stall_do_not_open(site: Site, collins: np.ndarray) -> None:
    """The frames of a person wait in the network while the recogniser is stopped."""
    with mjpeg_camera(EMPTY) as camera:
        change_camera(site, kind="opencv", source=camera.address, accept_network_injection=True)
        with site.door(), site.daemon() as recogniser:
            until(lambda: recogniser.said("running with"), "started")
            until(lambda: camera.served > 60, "frames came")
            recogniser.popen.send_signal(signal.SIGSTOP)
            camera.show(collins)
            served = camera.served
            until(lambda: camera.served > served + 30, "the person was there")
            camera.show(EMPTY)
            until(lambda: camera.served > served + 60, "the person left")
            recogniser.popen.send_signal(signal.SIGCONT)
            until(lambda: camera.served > served + 120, "the frames were read")
            assert "unlocked" not in site.door_events()
            camera.show(collins)
            until(lambda: "unlocked" in site.door_events(), "recognised again")


@pytest.mark.parametrize(
    ("camera", "code", "words"),
    [
        ({"kind": "opencv", "source": "clip.mp4"}, 2, "kind: replay"),
        ({"kind": "opencv", "source": "file:///clip.mp4"}, 2, "kind: replay"),
        ({"kind": "opencv", "source": -1}, 2, "from 0 on"),
        ({"kind": "opencv", "source": "udpsrc port=5 ! appsink"}, 2, "accept_network_injection"),
        ({"kind": "opencv", "source": 0, "pixel_format": "MJ"}, 2, "expected a FourCC"),
        ({"kind": "replay", "path": "none"}, 1, "no such recording"),
        ({"kind": "replay", "path": "inputs", "rotate": 45}, 2, "rotate"),
        ({"kind": "replay", "path": "terminal.yaml"}, 1, "no frame can be read"),
    ],
)
def test_camera_error_ends_the_start(
    site: Site,
    camera: dict[str, object],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change_camera(site, **camera)
    assert daemon.main(["--config", str(site.config_path)]) == code
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_full_disk_keeps_door_locked_until_space(site: Site) -> None:
    """The decisions file is limited to its present size, as on a full disk."""
    import resource

    with site.door(), site.daemon() as recogniser:
        until(lambda: "unlocked" in site.door_events(), "opened")
        size = list_segments(site.config.decisions_path)[-1].stat().st_size
        resource.prlimit(
            recogniser.popen.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY)
        )
        until(
            lambda: recogniser.said("no one is admitted until it can be written"),
            "noticed the full disk",
        )
        until(lambda: site.door_state() == "locked", "locked")
        opened = site.door_events().count("unlocked")
        assert recogniser.popen.poll() is None
        resource.prlimit(
            recogniser.popen.pid,
            resource.RLIMIT_FSIZE,
            (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
        )
        until(lambda: site.door_events().count("unlocked") > opened, "opened again")
    ids = [r["id"] for r in read_log(site.config.decisions_path)]
    assert ids == list(range(1, len(ids) + 1))


def test_erased_person_is_unknown_in_a_second(site: Site) -> None:
    with site.door(), site.daemon() as recogniser:
        until(lambda: "unlocked" in site.door_events(), "opened")
        done = run(
            "edge.cli.gallery",
            "remove",
            "--config",
            site.config_path,
            "--subject",
            "Eileen Collins",
        )
        assert done.returncode == 0, done.stderr
        until(lambda: recogniser.said("gallery changed: 0 subjects"), "noticed")
        until(lambda: bool(site.decisions(reason="gallery-empty")), "a stranger")
        until(lambda: recogniser.said(": unknown (gallery-empty)"), "logged")
        assert not recogniser.said("Eileen")


CAMERA = {"kind": "replay", "path": "clip", "fps": 10, "loop": True}


def gallery_events(site: Site) -> list[object]:
    records = read_log(site.config.decisions_path)
    return [r.get("reason", r["event"]) for r in records if r["kind"] == "gallery" and "event" in r]


def refused(site: Site, reason: str) -> bool:
    return any(r.get("reason") == reason for r in read_log(site.config.decisions_path))


def test_gallery_missing_refuses_until_back(site: Site, write_config: Callable[..., Path]) -> None:
    write_config(camera=CAMERA, policy={"cooldown_s": 0.8}, gallery={"unreadable_s": 1})
    away = site.folder / "away.db"
    with site.door(), site.daemon() as recogniser:
        until(lambda: "unlocked" in site.door_events(), "opened")
        site.config.gallery_path.rename(away)
        until(lambda: refused(site, "gallery-unreadable"), "refused")
        assert gallery_events(site) == ["gallery-unreadable"]
        assert recogniser.said("all people are refused (gallery-unreadable)")
        until(lambda: site.door_state() == "locked", "locked")
        opened = site.door_events().count("unlocked")
        away.rename(site.config.gallery_path)
        until(lambda: site.door_events().count("unlocked") > opened, "opened again")
    assert gallery_events(site) == ["gallery-unreadable", "readable"]


def test_older_gallery_is_followed_and_recorded(site: Site) -> None:
    remove = ["remove", "--config", site.config_path, "--subject", "Eileen Collins"]
    backup = site.folder / "backup.db"
    shutil.copy(site.config.gallery_path, backup)
    with site.daemon() as recogniser:
        until(lambda: recogniser.said("running with 1 subject,"), "runs")
        assert call(gallery.main, *remove).returncode == 0
        backup.replace(site.config.gallery_path)
        until(lambda: "older" in gallery_events(site), "recorded")
        done = call(gallery.main, *remove)
        assert done.returncode == 0 and recogniser.said("gallery changed: 0 subjects"), done.stderr


def test_key_unreadable_refuses_all(
    site: Site, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service gets its credential once, at its start."""
    write_config(camera=CAMERA, gallery={"unreadable_s": 1, "confirm_s": 1})
    credentials = site.folder / "credentials"
    credentials.mkdir()
    shutil.copy(site.config.key_path, credentials / "gallery.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    with site.daemon() as recogniser:
        until(lambda: recogniser.said("running with 1 subject,"), "runs")
        monkeypatch.delenv("CREDENTIALS_DIRECTORY")
        done = call(gallery.main, "rotate-key", "--config", site.config_path)
        assert done.returncode == 1 and "restart edge-daemon" in done.stderr
        until(lambda: refused(site, "gallery-key-changed"), "refused")
        assert recogniser.popen.poll() is None
    write_config(camera=CAMERA, gallery={"confirm_s": 60})
    with site.daemon("again") as recogniser:
        until(lambda: recogniser.said("running with 1 subject,"), "runs")
        done = call(gallery.main, "rotate-key", "--config", site.config_path)
        assert done.returncode == 0, done.stderr


def test_unconfirmed_change_fails(site: Site, write_config: Callable[..., Path]) -> None:
    write_config(camera=CAMERA, gallery={"confirm_s": 1})
    with site.daemon() as recogniser:
        until(lambda: recogniser.said("running with 1 subject,"), "runs")
        recogniser.popen.send_signal(signal.SIGSTOP)
        arguments = ["--config", site.config_path, "--subject", "Eileen Collins"]
        done = call(gallery.main, "set", "--mask", "any", *arguments)
        assert done.returncode == 1 and "has not confirmed" in done.stderr
        done = call(gallery.main, "remove", *arguments)
        assert done.returncode == 1 and "restart edge-daemon" in done.stderr
        assert "Traceback" not in done.stderr and "erased with 1 template;" in done.stdout


def test_second_recogniser_is_refused(site: Site) -> None:
    with site.daemon() as recogniser:
        until(lambda: recogniser.said("running with 1 subject,"), "runs")
        done = call(daemon.main, "--config", site.config_path)
    assert done.returncode == 1
    assert (
        "another edge-daemon runs here; stop it first" in done.stderr
        and "Traceback" not in done.stderr
    )


@pytest.mark.parametrize("command", [daemon, doctor, enroll, bench])
@pytest.mark.parametrize(
    ("harm", "code", "part"),
    [
        (lambda site: site.config_path.unlink(), 2, "cannot read the configuration"),
        (lambda site: site.config_path.write_text("camera: ["), 2, "not valid YAML"),
    ],
)
def test_broken_config_is_one_sentence(
    site: Site,
    command: ModuleType,
    harm: Callable[[Site], object],
    code: int,
    part: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    harm(site)
    extra = ("--subject", "x") if command is enroll else ()
    action = ("run",) if command is bench else ()
    assert command.main([*action, "--config", str(site.config_path), *extra]) == code
    error = capsys.readouterr().err
    assert part in error
    assert "Traceback" not in error and len(error.strip().splitlines()) == 1


def test_changed_bundle_stops_the_start(
    site: Site,
    write_config: Callable[..., Path],
    bundle_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = Path(shutil.copytree(bundle_path, site.folder / "bundle"))
    with (copy / "embedder.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"xxxx")
    assert daemon.main(["--config", str(write_config(bundle=str(copy)))]) == 1
    error = capsys.readouterr().err
    assert "embedder.onnx: sha256 is" in error and "Traceback" not in error


def test_missing_recording_stops_the_start(site: Site) -> None:
    shutil.rmtree(site.folder / "clip")
    done = call(daemon.main, "--config", site.config_path)
    assert done.returncode == 1
    assert "no such recording" in done.stderr and "Traceback" not in done.stderr


def test_unusable_photos_store_nothing(site: Site) -> None:
    bad = site.folder / "bad.jpg"
    bad.write_text("not a picture")
    done = site.enroll(
        "--subject",
        "Eve",
        "--json",
        site.folder / "collins.png",
        bad,
    )
    assert done.returncode == 1
    assert "refused (unreadable)" in done.stderr and "Traceback" not in done.stderr
    assert json.loads(done.stdout)["refused"][0]["photo"] == str(bad)
    listed = call(gallery.main, "list", "--config", site.config_path, "--json")
    assert {name: row["templates"] for name, row in json.loads(listed.stdout).items()} == {
        "Eileen Collins": 1
    }


def test_extended_time_reaches_the_door(site: Site, write_config: Callable[..., Path]) -> None:
    def change(*arguments: str) -> str:
        done = call(gallery.main, *arguments, "--config", site.config_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    camera = {"kind": "replay", "path": "clip", "fps": 10, "loop": True}
    write_config(camera=camera, door={"pulse_s": 0.5, "extended_pulse_s": 60.0})
    assert "extended changed" in change("set", "--subject", "Eileen Collins", "--extended", "on")
    assert "(extended)" in change("list")
    with site.door(), site.daemon():
        until(lambda: "unlocked" in site.door_events(), "opened")
        client = DoorClient(site.config.socket_path, timeout_s=TIMEOUT_S)
        assert client.status()["relocks_in_s"] > 20
        client.close()
    assert "extended changed" in change("set", "--subject", "Eileen Collins", "--extended", "off")
    assert "(extended)" not in change("list")
    done = call(
        gallery.main,
        "set",
        "--subject",
        "Stranger",
        "--extended",
        "on",
        "--config",
        site.config_path,
    )
    assert done.returncode == 1 and "'Stranger' is not enrolled" in done.stderr


def test_rights_are_decided_by_the_door(site: Site, write_config: Callable[..., Path]) -> None:
    """The recogniser knows the person, and records why the door refuses."""
    lanes = {"lanes": [{"name": "main", "groups": ["staff"]}]}
    camera = {"kind": "replay", "path": "clip", "fps": 10, "loop": True}
    write_config(camera=camera, access=lanes, policy={"cooldown_s": 0.8})
    person = ["--subject", "Eileen Collins", "--config", site.config_path]
    with site.door(), site.daemon():
        until(lambda: site.decisions(kind="door", outcome="refused: not-in-group"), "refused")
        done = call(gallery.main, "set", "--groups", "staff", *person)
        assert done.returncode == 0, done.stderr
        until(lambda: "unlocked" in site.door_events(), "opened")
        done = call(gallery.main, "set", "--valid-until", "2020-01-01", *person)
        assert done.returncode == 0, done.stderr
        until(lambda: site.decisions(kind="door", outcome="refused: not-valid-today"), "expired")


def test_enroll_from_daemon_camera_pauses_grants(site: Site) -> None:
    with site.door(), site.daemon() as recogniser:
        until(lambda: "unlocked" in site.door_events(), "opened")
        done = site.enroll(
            "--subject",
            "Eileen Collins",
            "--frontal-only",
        )
        assert done.returncode == 0, done.stderr
        assert (
            "using the camera of edge-daemon" in done.stderr and "3 of 3 poses done" in done.stderr
        )
        assert "(1 in total), 1 photo already" in done.stdout
        until(lambda: recogniser.said("gallery changed: 1 subjects"), "noticed")
        done = site.enroll(
            "--subject",
            "Colonel Collins",
            "--frontal-only",
        )
        assert done.returncode == 1 and "refused (already-enrolled)" in done.stderr
        until(
            lambda: len(site.decisions(kind="enrollment", event="end")) == 2, "took the camera back"
        )
        opened = site.door_events().count("unlocked")
        until(lambda: site.door_events().count("unlocked") > opened, "opened again")
        records = read_log(site.config.decisions_path)
        assert (site.config.state / "enroll.sock").stat().st_mode & 0o777 == 0o600
    events = [r for r in records if r["kind"] == "enrollment"]
    assert [r["event"] for r in events] == ["begin", "end"] * 2 and {
        r["reason"] for r in events if r["event"] == "end"
    } == {"finished"}
    begin, end = events[:2]
    assert not [r for r in records if begin["id"] < r["id"] < end["id"] and r.get("verdict")], (
        "a person was recognised during the enrollment"
    )
    assert end["frames"] >= 3 and begin["account"] == end["account"]


def test_enroll_statement_recorded_by_daemon(site: Site) -> None:
    photo = site.folder / "collins.png"
    statement = ("--not-a-duplicate", "Eileen Collins", "--reason", "twins")
    with site.daemon():
        until(lambda: bool(site.decisions(kind="started")), "started")
        done = site.enroll(
            "--subject",
            "Colonel Collins",
            *statement,
            photo,
        )
        assert done.returncode == 0, done.stderr
        (noted,) = site.decisions(event="not-a-duplicate")
        assert (noted["subject"], noted["other"], noted["note"]) == (
            "Colonel Collins",
            "Eileen Collins",
            "twins",
        )
    assert not site.config.handover_path.exists()


def test_enroll_unrecorded_statement_stores_none(site: Site) -> None:
    """The recogniser hangs: the statement is withdrawn."""
    photo = site.folder / "collins.png"
    statement = ("--not-a-duplicate", "Eileen Collins", "--reason", "twins")
    with site.daemon() as recogniser:
        until(lambda: bool(site.decisions(kind="started")), "started")
        recogniser.popen.send_signal(signal.SIGSTOP)
        done = site.enroll(
            "--subject",
            "Colonel Collins",
            *statement,
            photo,
        )
        recogniser.popen.send_signal(signal.SIGCONT)
    assert done.returncode == 1 and "nothing was stored: see its log" in done.stderr
    assert not site.config.handover_path.exists()
    assert not site.decisions(event="not-a-duplicate")


def test_enroll_unreachable_daemon_is_reported(site: Site) -> None:
    with site.daemon() as recogniser:
        until(lambda: recogniser.said("running with 1 subject,"), "runs")
        (site.config.state / "enroll.sock").unlink()
        done = site.enroll(
            "--subject",
            "Eileen Collins",
            "--frontal-only",
        )
    assert done.returncode == 1 and "has the camera and cannot be reached" in done.stderr
    listed = call(gallery.main, "list", "--config", site.config_path, "--json")
    assert json.loads(listed.stdout)["Eileen Collins"]["templates"] == 1
    assert "Traceback" not in done.stderr


def test_enroll_from_camera_without_daemon(site: Site) -> None:
    done = site.enroll(
        "--subject",
        "Eileen Collins",
        "--frontal-only",
        "--dry-run",
    )
    assert done.returncode == 0, done.stderr
    assert "would be stored" in done.stdout and "edge-daemon" not in done.stderr
    listed = call(gallery.main, "list", "--config", site.config_path, "--json")
    assert json.loads(listed.stdout)["Eileen Collins"]["templates"] == 1


def test_second_door_is_refused_without_change(site: Site) -> None:
    with site.door():
        until(lambda: bool(site.door_events()), "is on record")
        events = site.door_events()
        done = run(DOOR, "run", "--config", site.config_path)
        assert done.returncode == 1 and "another edge-door runs here; stop it first" in done.stderr
        assert site.door_events() == events and site.door_state() == "locked"


def test_operator_commands_are_recorded(site: Site) -> None:
    with site.door():
        assert call(door.main, "hold", "--config", site.config_path).returncode == 2  # no reason
        done = call(door.main, "hold", "--config", site.config_path, "--reason", "delivery")
        assert done.returncode == 0 and site.door_state() == "unlocked"
        done = call(door.main, "lockdown", "--config", site.config_path, "--reason", "drill")
        assert done.returncode == 0 and site.door_state() == "locked"
        done = call(door.main, "unlock", "--config", site.config_path, "--reason", "please")
        assert (
            done.returncode == 1
            and "the door refused: the door is in lockdown; release it first" in done.stderr
        )
        assert "locked (lockdown)" in run(DOOR, "status", "--config", site.config_path).stdout
        asked = [
            (r["reason"], r["note"])
            for r in read_log(site.config.door_record_path)
            if r["event"] == "operator-command"
        ]
        assert asked == [("hold", "delivery"), ("lockdown", "drill"), ("unlock", "please")]
    with site.door():  # killed, not stopped: what restricts comes back
        assert "locked (lockdown)" in run(DOOR, "status", "--config", site.config_path).stdout


def test_safe_state_only_without_running_door(site: Site) -> None:
    with site.door():
        done = call(door.main, "safe-state", "--config", site.config_path)
        assert done.returncode == 1 and "another edge-door runs here" in done.stderr
    done = call(door.main, "safe-state", "--config", site.config_path)
    assert done.returncode == 0 and "de-energised" in done.stdout


def test_doctor_finds_errors(site: Site) -> None:
    done = call(doctor.main, "--config", site.config_path, "--json")
    levels = {f["subject"]: f["level"] for f in json.loads(done.stdout)}
    assert (
        levels["bundle"]
        == levels["gallery"]
        == levels["thresholds"]
        == levels["camera"]
        == levels["engine"]
        == "ok"
    )
    assert levels["liveness"] == "warning" and levels["door"] == "error"
    assert done.returncode == 1
    with site.door():
        done = call(doctor.main, "--config", site.config_path)
        assert done.returncode == 0, done.stdout
        assert "edge-door answers: locked" in done.stdout


def test_status_shows_running_door(site: Site) -> None:
    with site.door():
        done = run(DOOR, "status", "--config", site.config_path, "--json")
        expected = {
            "terminal": "test",
            "door": "main",
            "instance": None,
            "state": "locked",
            "reason": "normal",
            "relocks_in_s": 0.0,
            "alarms": [],
            "records_lost": 0,
            "inputs": {},
            "clock": {"doubt": "", "confirmed": 0.0},
        }
        status = json.loads(done.stdout)
        access = status.pop("access")
        assert status == expected | {"reload_refused": ""}
        assert access["mode"] == "face" and access["people"] == {"people": 0, "cards": 0, "pins": 0}
    done = run(DOOR, "status", "--config", site.config_path)
    assert done.returncode == 1 and "is edge-door running?" in done.stderr


def test_gallery_is_encrypted_on_disk(site: Site, bundle_path: Path) -> None:
    config = site.config
    digest = json.loads((bundle_path / "manifest.json").read_text())["files"]["embedder.onnx"][
        "sha256"
    ]
    store = GalleryStore(
        config.gallery_path,
        key=load_key(config.key_path, create=False),
        terminal=config.terminal,
        model_digest=digest,
    )
    _, templates = store.load_templates()
    store.close()
    needle = templates[0].tobytes()[:16]
    for path in config.state.rglob("*"):
        if path.is_file():
            assert needle not in path.read_bytes(), path
            assert path.stat().st_mode & 0o007 == 0, path
    assert config.state.stat().st_mode & 0o077 == 0


def test_enroll_on_full_disk_changes_nothing(site: Site) -> None:
    import resource
    import subprocess
    import sys

    before = site.config.gallery_path.read_bytes()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    command = [
        sys.executable,
        "-m",
        ENROLL,
        "--config",
        str(site.config_path),
        "--subject",
        "Eve",
        str(site.folder / "collins.png"),
    ]
    done = subprocess.run(
        command, preexec_fn=limit, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 1
    assert "gallery" in done.stderr and "Traceback" not in done.stderr
    assert site.config.gallery_path.read_bytes() == before
    listed = call(gallery.main, "list", "--config", site.config_path, "--json")
    assert {name: row["templates"] for name, row in json.loads(listed.stdout).items()} == {
        "Eileen Collins": 1
    }
