"""Two doors and two recognisers of one terminal, as real processes with one gallery."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import yaml

from edge.audit.reader import read_log
from edge.cli import audit, enroll, gallery
from edge.config import TerminalConfig, load_config
from edge.door.client import DoorClient
from edge.gallery.confirmation import read_confirmation
from edge.portraits import COLLINS, HOPPER, Portrait, load_portrait
from edge.values import Grant
from tests.processes import TIMEOUT_S, Process, call, run, until

LANES = {"lane1": COLLINS, "lane2": HOPPER}
_POLL_S = 0.02


class LaneWithPerson:
    """Door and recogniser of one lane, with a person before the camera."""

    def __init__(self, folder: Path, name: str, person: Portrait) -> None:
        self.person = person.person
        self.path = folder / f"{name}.yaml"
        self.relay = folder / f"{name}.relay"
        (folder / name).mkdir()
        for number in range(3):
            cv2.imwrite(str(folder / name / f"{number}.png"), load_portrait(person))
        fields = {
            "extends": "terminal.yaml",
            "instance": name,
            "camera": {"path": name},
            "door": {"name": name, "relay": {"kind": "file", "path": self.relay.name}},
        }
        self.path.write_text(yaml.safe_dump(fields), encoding="utf-8")

    @property
    def config(self) -> TerminalConfig:
        return load_config(self.path)

    def wait_energised(self) -> None:
        """Wait until the relay is energised for a grant."""
        until(
            lambda: self.relay.read_text().strip() == "1", f"relay {self.path.stem}", poll_s=_POLL_S
        )

    def wait_unlocked(self) -> None:
        """Wait until the door has unlocked for a person."""
        until(lambda: bool(self.unlocked()), f"{self.path.stem} unlocks")

    def unlocked(self) -> list[str]:
        """Return the subjects of the unlocks in the log of the door."""
        records = read_log(self.config.door_record_path)
        return [record["subject"] for record in records if record.get("event") == "unlocked"]


@pytest.fixture(scope="module")
def lanes(
    tmp_path_factory: pytest.TempPathFactory, bundle_path: Path
) -> Iterator[list[LaneWithPerson]]:
    folder = tmp_path_factory.mktemp("lanes")
    fields = {
        "terminal": "two-lanes",
        "bundle": str(bundle_path),
        "state": "state",
        "camera": {"kind": "replay", "fps": 8, "loop": True},
        "liveness": {"kind": "none"},
        "policy": {"cooldown_s": 1.0},
        "access": {"lanes": [{"name": f"in-{name}", "door": name} for name in LANES]},
        "door": {"state": "door", "pulse_s": 0.5},
    }
    (folder / "terminal.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    made = [LaneWithPerson(folder, name, person) for name, person in LANES.items()]
    for lane in made:
        photo = lane.path.with_suffix("") / "0.png"
        options = ("--config", made[0].path, "--subject", lane.person, photo)
        assert call(enroll.main, *options).returncode == 0
    with contextlib.ExitStack() as processes:
        for lane in made:
            for program, words in (("door", ["run"]), ("daemon", [])):
                log = lane.path.with_suffix(f".{program}.log")
                options = (*words, "--config", lane.path)
                processes.enter_context(Process(f"edge.cli.{program}", *options, log=log))
        yield made


def test_both_lanes_open_for_their_people(lanes: list[LaneWithPerson]) -> None:
    for lane in lanes:
        lane.wait_unlocked()
        assert set(lane.unlocked()) == {lane.person}
        lane.wait_energised()
        granted = [r for r in read_log(lane.config.decisions_path) if r.get("verdict") == "grant"]
        assert {record["subject"] for record in granted} == {lane.person}


def test_second_process_of_a_lane_is_refused(lanes: list[LaneWithPerson]) -> None:
    for program, words, key in (("door", ["run"], "door.name"), ("daemon", [], "instance")):
        done = run(f"edge.cli.{program}", *words, "--config", lanes[0].path)
        assert done.returncode == 1, done.stderr
        assert f"another edge-{program} runs here" in done.stderr and f"`{key}`" in done.stderr


def test_door_refuses_the_lane_of_the_other(lanes: list[LaneWithPerson]) -> None:
    client = DoorClient(lanes[0].config.socket_path, timeout_s=TIMEOUT_S)
    grant = Grant("stray", HOPPER.person, 1, time.monotonic(), lanes[1].config.camera_lane)
    with contextlib.closing(client):
        assert client.grant(grant) == "other-door"


def test_removal_reaches_both_recognisers(lanes: list[LaneWithPerson]) -> None:
    """The last test: it removes the person of the second lane, with the file of the first."""
    lanes[1].wait_unlocked()
    options = ("remove", "--config", lanes[0].path, "--subject", HOPPER.person)
    assert call(gallery.main, *options).returncode == 0
    positions = [read_confirmation(lane.config.gallery_confirmed_path) for lane in lanes]
    assert positions[0] is not None and positions[0] == positions[1]
    number = len(read_log(lanes[1].config.decisions_path))
    until(lambda: _verdicts(lanes[1], number).count("unknown") > 0, "the face is unknown")
    assert "grant" not in _verdicts(lanes[1], number)
    options = ("erase", "--config", lanes[0].path, "--subject", HOPPER.person, "--dry-run")
    printed = call(audit.main, *options).stdout
    assert "decisions-lane2: 0" not in printed and "door-lane2: 0" not in printed
    assert "decisions-lane1: 0 personal" in printed and "door-lane2: " in printed


def _verdicts(lane: LaneWithPerson, after: int) -> list[str]:
    """Return the verdicts of the records after a number of records."""
    records = read_log(lane.config.decisions_path)[after:]
    return [record["verdict"] for record in records if "verdict" in record]
