"""Measurement of one lane and of two lanes side by side, with real processes: `make lanes`.

Each lane has a recogniser and a door process, and a drawn clip in real time. In each picture one
enrolled person walks up to the lane, and the person of the other lane walks at its border.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from edge.audit.reader import read_log
from edge.bench.machine import describe_this_machine
from edge.config import load_config
from edge.door.client import DoorClient
from edge.errors import DoorError, MfsaError
from edge.portraits import COLLINS, HOPPER
from edge.recogniser.networks import open_networks
from edge.synthesis.drawing import (
    FPS,
    HEIGHT,
    WIDTH,
    Cutout,
    Stance,
    cut_out,
    draw_person,
    draw_room,
    enrollment_views,
    expose,
)
from edge.system.markdown import format_table

PEOPLE = {"lane1": COLLINS.person, "lane2": HOPPER.person}
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_WALK_S, _PAUSE_S = 4.0, 2.0
_START_S, _STOP_S = 300.0, 60.0
_POLL_S = 0.05
_FRAMES = re.compile(r"the recording ended: (\d+) frames, (\d+) dropped")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class LaneResult:
    """Measurements of one lane in one run."""

    run: str
    lane: str
    frames: int
    dropped: int
    recogniser_cpu_s: float
    door_cpu_s: float
    decision_ms: NDArray[np.float64]  # from the exposure of a frame to the record of its decision
    relay_ms: NDArray[np.float64]  # from the exposure of the last voting frame to the relay
    walks: int
    grants: int  # for the person of the lane
    wrong: int  # for the person of the other lane
    held: int  # people of the other lane who were held

    def row(self) -> list[str]:
        """Return the row of the table."""
        return [
            self.run,
            self.lane,
            f"{self.frames} ({self.dropped})",
            f"{1000 * self.recogniser_cpu_s / max(1, self.frames):.2f}",
            f"{self.door_cpu_s:.2f}",
            _format(self.decision_ms),
            _format(self.relay_ms),
            f"{self.grants} of {self.walks}",
            str(self.wrong),
            str(self.held),
        ]


COLUMNS = (
    "run",
    "lane",
    "frames (dropped)",
    "CPU ms per frame",
    "door CPU s",
    "frame to decision, ms",
    "frame to relay, ms",
    "grants",
    "at the wrong lane",
    "held",
)


def _format(values: NDArray[np.float64]) -> str:
    if not len(values):
        return "none"
    return f"{np.median(values):.1f} / {np.percentile(values, 95):.1f}"


# Clips and configuration


def draw_clip(
    own: Cutout, other: Cutout, side: float, walks: int, seed: int
) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames (480,640,3) of a lane; the other person is at the border `side`, -1 or 1."""
    rng, room = np.random.default_rng(seed), draw_room()
    for _ in range(walks):
        steps = round(_WALK_S * FPS)
        for step in range(steps):
            progress, canvas = step / steps, room.copy()
            px = 55 + 95 * progress
            draw_person(
                canvas, other, Stance(WIDTH * (0.5 + 0.36 * side), 0.42 * HEIGHT, 0.75 * px)
            )
            sway = 0.02 * np.sin(11 * progress)
            draw_person(canvas, own, Stance(WIDTH * (0.5 + sway), 0.4 * HEIGHT, px))
            yield expose(canvas, 1.0, rng)
        for _ in range(round(_PAUSE_S * FPS)):
            yield expose(room, 1.0, rng)


def prepare(bundle: Path, out: Path, walks: int) -> dict[str, Path]:
    """Write clips, photos and configurations to a fresh folder; return the files by name."""
    shutil.rmtree(out, ignore_errors=True)
    common = {
        "terminal": "lanes",
        "bundle": str(bundle.resolve()),
        "liveness": {"kind": "none"},
        "access": {"lanes": [{"name": lane, "door": lane} for lane in PEOPLE]},
    }
    files = {"one": common | {"state": "one"} | _lane_keys("lane1")}
    for lane in PEOPLE:
        files[lane] = {"extends": "terminal.yaml", "instance": lane} | _lane_keys(lane)
    out.mkdir(parents=True)
    (out / "terminal.yaml").write_text(yaml.safe_dump(common), encoding="utf-8")
    for name, keys in files.items():
        (out / f"{name}.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    cutouts = cut_out(open_networks(load_config(out / "one.yaml")).detector)
    for name, cutout in cutouts.items():
        folder = out / "photos" / name
        folder.mkdir(parents=True)
        for number, view in enumerate(enrollment_views(cutout)):
            cv2.imwrite(str(folder / f"{number}.png"), view)
    for number, (lane, person) in enumerate(PEOPLE.items()):
        (other,) = (cutout for name, cutout in cutouts.items() if name != person)
        (out / lane).mkdir()
        clip = draw_clip(cutouts[person], other, (1, -1)[number], walks, number)
        for index, frame in enumerate(clip):
            path = out / lane / f"{index:05d}.jpg"
            cv2.imwrite(str(path), frame, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return {name: out / f"{name}.yaml" for name in files}


def _lane_keys(lane: str) -> dict[str, Any]:
    return {
        "door": {"name": lane, "pulse_s": 1.0},
        "camera": {"kind": "replay", "path": lane, "fps": FPS},
    }


def enroll(config: Path, photos: Path) -> None:
    """Enroll both people; raises MfsaError."""
    for person in PEOPLE.values():
        pictures = sorted(map(str, (photos / person).glob("*.png")))
        command = ["--config", str(config), "--subject", person, *pictures]
        done = subprocess.run(
            [sys.executable, "-m", "edge.cli.enroll", *command], check=False, capture_output=True
        )
        if done.returncode:
            raise MfsaError(f"edge-enroll failed: {done.stderr.decode()}")


# Processes


class LaneProcesses:
    """Door process and recogniser of a lane, with their CPU time."""

    def __init__(self, path: Path) -> None:
        self._path, self.config = path, load_config(path)
        self.log = path.with_suffix(".log")
        self._door = self._start("edge.cli.door", "run")
        self._recogniser: subprocess.Popen[bytes] | None = None
        self.door_cpu_s = self.recogniser_cpu_s = self._started_cpu_s = 0.0

    def start_recogniser(self) -> None:
        """Start the recogniser when the door answers. Raises DoorError."""
        with contextlib.closing(DoorClient(self.config.socket_path)) as client:
            give_up = time.monotonic() + _START_S
            while True:
                try:
                    client.status()
                    break
                except DoorError:
                    if self._door.poll() is not None or time.monotonic() > give_up:
                        raise
                    time.sleep(_POLL_S)
        self._recogniser = self._start("edge.cli.daemon")

    def is_running(self) -> bool:
        """Return False after the recording; note the CPU times before."""
        assert self._recogniser is not None
        if self._recogniser.poll() is not None:
            return False
        self.door_cpu_s = _cpu_s(self._door.pid) or self.door_cpu_s
        spent = _cpu_s(self._recogniser.pid) or self.recogniser_cpu_s
        if not self._started_cpu_s and "running with" in self.log.read_text(encoding="utf-8"):
            self._started_cpu_s = spent  # networks and gallery are loaded
        self.recogniser_cpu_s = spent
        return True

    def stop(self) -> None:
        """End the processes."""
        for process in (self._recogniser, self._door):
            if process is not None:
                process.terminate()
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()

    def result(self, run: str, walks: int) -> LaneResult:
        """Return the measurements by the audit logs; raises MfsaError without a recording."""
        lane = self.config.camera_lane
        counted = _FRAMES.search(self.log.read_text(encoding="utf-8"))
        if counted is None:
            raise MfsaError(f"{self.log}: the recogniser of {lane} did not play its recording")
        decisions = [one for one in read_log(self.config.decisions_path) if "verdict" in one]
        unlocked = {
            one["record_id"]: one["at"]
            for one in read_log(self.config.door_record_path)
            if one.get("event") == "unlocked" and "record_id" in one
        }
        grants = [one for one in decisions if one["id"] in unlocked]
        own = [one for one in grants if one["subject"] == PEOPLE[lane]]
        decided = np.array([one["mono"] - one["frame_at"] for one in decisions])
        relay = np.array([unlocked[one["id"]] - one["frame_at"] for one in grants])
        return LaneResult(
            run,
            lane,
            int(counted[1]),
            int(counted[2]),
            self.recogniser_cpu_s - self._started_cpu_s,
            self.door_cpu_s,
            1000 * decided,
            1000 * relay,
            walks,
            len(own),
            len(grants) - len(own),
            sum(one["reason"] == "other-lane" for one in decisions),
        )

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *arguments, "--config", str(self._path)]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds of a running process, 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def measure(run: str, paths: Sequence[Path], walks: int) -> list[LaneResult]:
    """Play the clips of some lanes at once."""
    lanes = [LaneProcesses(path) for path in paths]
    try:
        for lane in lanes:
            lane.start_recogniser()
        running = lanes
        while running:
            time.sleep(_POLL_S)
            running = [lane for lane in running if lane.is_running()]
    finally:
        for lane in lanes:
            lane.stop()
    return [lane.result(run, walks) for lane in lanes]


def write_page(page: Path, results: Sequence[LaneResult]) -> None:
    """Write the table between the marks of the page."""
    machine = describe_this_machine()
    walk_s = _WALK_S + _PAUSE_S
    lines = [
        BEGIN,
        "",
        f"{machine.processor}, {machine.cores} cores; {results[0].walks} walks of {walk_s:.0f} s.",
        "",
        format_table(COLUMNS, (result.row() for result in results)),
        END,
    ]
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--out", type=Path, default=Path("build/lanes"))
    parser.add_argument("--walks", type=int, default=20, help="walks in each clip, of 6 s")
    parser.add_argument("--page", type=Path, help="page to write the table to; default: print it")
    args = parser.parse_args(argv)
    files = prepare(args.bundle, args.out, args.walks)
    results = []
    for run, names in (("one lane", ["one"]), ("two lanes", list(PEOPLE))):
        enroll(files[names[0]], args.out / "photos")
        results += measure(run, [files[name] for name in names], args.walks)
    print(format_table(COLUMNS, (result.row() for result in results)))
    if args.page is not None:
        write_page(args.page, results)
    return 1 if any(result.wrong for result in results if result.run == "two lanes") else 0


if __name__ == "__main__":
    raise SystemExit(main())
