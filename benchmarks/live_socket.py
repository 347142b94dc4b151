"""Main loop of the recogniser with and without clients of its live socket: `make live-bench`.

The loop runs in real time on drawn frames. No client, one and four clients take turns within one
run, so that the load of the machine is the same for all. Each client is a process that requests the
next view as soon as it has read one.
"""

from __future__ import annotations

import argparse
import contextlib
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.lanes import BEGIN, END, draw_clip
from edge.bench.machine import describe_this_machine
from edge.camera.capture import Capture
from edge.config import TerminalConfig, load_config
from edge.errors import MfsaError, RecogniserError
from edge.gallery.key import load_key_and_drop_privileges
from edge.live.client import LiveReader
from edge.recogniser.build import Recogniser, open_recogniser
from edge.recogniser.live_publisher import LivePublisher
from edge.recogniser.networks import open_networks
from edge.synthesis.drawing import FPS, cut_out, enrollment_views
from edge.system.markdown import format_table
from edge.system.wallclock import WallClock
from edge.values import Frame

SIZE = 1280, 960
CLIENTS = (0, 1, 4)
COLUMNS = (
    "clients",
    "frames",
    "loop, median ms",
    "p95 ms",
    "p99 ms",
    "CPU of the loop, median ms",
    "p99 ms",
    "publishing, median us",
    "p99 us",
    "CPU of the process, ms per frame",
    "views per second and client",
)
_SEED = 1


@dataclass(slots=True)
class Measured:
    """Times of all frames with one number of clients, in seconds."""

    loop_s: list[float] = field(default_factory=list)
    loop_cpu_s: list[float] = field(default_factory=list)
    publish_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    elapsed_s: float = 0.0
    views: int = 0

    def row(self, clients: int) -> list[str]:
        """Return the row of the table."""
        loop, cpu = 1e3 * np.array(self.loop_s), 1e3 * np.array(self.loop_cpu_s)
        publish = 1e6 * np.array(self.publish_s)
        rate = self.views / clients / self.elapsed_s if clients else 0.0
        return [
            str(clients),
            str(len(loop)),
            *(f"{np.percentile(loop, share):.2f}" for share in (50, 95, 99)),
            *(f"{np.percentile(cpu, share):.2f}" for share in (50, 99)),
            *(f"{np.percentile(publish, share):.0f}" for share in (50, 99)),
            f"{1e3 * self.cpu_s / len(loop):.2f}",
            f"{rate:.1f}" if clients else "",
        ]


class PacedCamera:
    """Camera that delivers pictures from memory in real time, again and again."""

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images = cycle(images)
        self._number, self._started = 0, time.monotonic()

    def read(self) -> Frame:
        due = self._started + self._number / FPS
        time.sleep(max(0.0, due - time.monotonic()))
        self._number += 1
        return Frame(next(self._images), time.monotonic(), self._number)

    def close(self) -> None:
        pass


class Clients:
    """Client processes, which connect when they are switched on."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.live_socket", "--client", str(config)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [subprocess.Popen(command, **pipes) for _ in range(max(CLIENTS))]
        for process in self._processes:
            process.stdout.readline()  # it has imported everything

    def start(self, number: int) -> None:
        for process in self._processes[:number]:
            process.stdin.write("start\n")
            process.stdin.flush()

    def stop(self, number: int) -> int:
        """Disconnect the clients; return how many views they have read."""
        views = 0
        for process in self._processes[:number]:
            process.stdin.write("stop\n")
            process.stdin.flush()
            views += int(process.stdout.readline())
        return views

    def close(self) -> None:
        for process in self._processes:
            process.communicate()


def run_client(config: Path) -> int:
    """Read views between the lines `start` and `stop`; print their number."""
    path = load_config(config).live_socket_path
    print("ready", flush=True)
    while sys.stdin.readline():
        views = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            with contextlib.suppress(RecogniserError):  # clients of the last turn may not have left
                views += _read_views(LiveReader(path))
        sys.stdin.readline()
        print(views, flush=True)
    return 0


def _read_views(reader: LiveReader) -> int:
    """Read views until the next line of the input; return how many."""
    views = 0
    with contextlib.closing(reader):
        reader.read()
        while not select.select([sys.stdin], [], [], 0)[0]:
            reader.read()
            views += 1
    return views


def prepare(bundle: Path, folder: Path) -> tuple[Path, list[NDArray[np.uint8]]]:
    """Write a configuration, enroll a person, and draw a walk of two people."""
    fields = {
        "terminal": "live",
        "bundle": str(bundle.resolve()),
        "camera": {"kind": "replay", "path": "."},
        "liveness": {"kind": "none"},
    }
    path = folder / "terminal.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    own, other = cut_out(open_networks(load_config(path)).detector).values()
    photos = [str(folder / f"{number}.png") for number in range(len(enrollment_views(own)))]
    for photo, view in zip(photos, enrollment_views(own), strict=True):
        cv2.imwrite(photo, view)
    command = ["--config", str(path), "--subject", own.person, *photos]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli.enroll", *command], check=False, capture_output=True
    )
    if done.returncode:
        raise MfsaError(f"edge-enroll failed: {done.stderr.decode()}")
    return path, [cv2.resize(image, SIZE) for image in draw_clip(own, other, 1, 1, _SEED)]


def open_loop(config: TerminalConfig) -> Recogniser:
    key = load_key_and_drop_privileges(config)
    networks = open_networks(config)
    return open_recogniser(config, networks, key, wall=WallClock(), clock=time.monotonic)


def measure(path: Path, images: Sequence[NDArray[np.uint8]], rounds: int) -> dict[int, Measured]:
    """Return the times by number of clients."""
    config, found = load_config(path), {number: Measured() for number in CLIENTS}
    recogniser = open_loop(config)
    capture = Capture(lambda: PacedCamera(images))
    publisher = LivePublisher(config, recogniser, capture, time.monotonic)
    clients = Clients(path)
    try:
        for number in _turns(rounds):
            clients.start(number)
            result = found[number]
            cpu, began = time.process_time(), time.monotonic()
            for _ in images:
                measure_frame(recogniser, capture, publisher, result)
            result.cpu_s += time.process_time() - cpu
            result.elapsed_s += time.monotonic() - began
            result.views += clients.stop(number)
    finally:
        clients.close()
        publisher.close()
        capture.close()
        recogniser.close()
    return found


def _turns(rounds: int) -> Iterator[int]:
    """Yield numbers of clients, in another order in each round."""
    for number in range(rounds):
        shift = number % len(CLIENTS)
        yield from CLIENTS[shift:] + CLIENTS[:shift]


def measure_frame(
    recogniser: Recogniser, capture: Capture, publisher: LivePublisher, result: Measured
) -> None:
    frame = capture.take(10.0)
    if frame is None:
        raise MfsaError("no frame in time; is this machine too busy?")
    began, cpu = time.perf_counter(), time.thread_time()
    results = recogniser.pipeline.recognise(frame)
    decided = time.perf_counter()
    publisher.show_frame(frame, results)
    ended = time.perf_counter()
    result.loop_s.append(ended - began)
    result.loop_cpu_s.append(time.thread_time() - cpu)
    result.publish_s.append(ended - decided)


def write_page(page: Path, table: str) -> None:
    """Write the table between the marks of the page."""
    machine = describe_this_machine()
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    head = f"{machine.processor}, {machine.cores} cores."
    content = "\n".join([BEGIN, "", head, "", table, END])
    page.write_text(before + content + rest.partition(END)[2], encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--rounds", type=int, default=6, help="turns of each number of clients")
    parser.add_argument("--page", type=Path, help="page to write the table to; default: print it")
    parser.add_argument("--client", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.client is not None:
        return run_client(args.client)
    with tempfile.TemporaryDirectory() as folder:
        path, images = prepare(args.bundle, Path(folder))
        found = measure(path, images, args.rounds)
    table = format_table(COLUMNS, (result.row(number) for number, result in found.items()))
    print(table)
    if args.page is not None:
        write_page(args.page, table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
