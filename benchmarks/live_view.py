"""Measurement of the delay from a frame to the kiosk's page: `make live-view-bench`.

A recorded clip plays through the real recogniser and console. Each picture has its number as black
and white blocks. Headless Chromium reads the blocks from the canvas before each repaint.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from benchmarks.lanes import BEGIN, END
from edge.bench.machine import describe_this_machine
from edge.config import load_config
from edge.errors import MfsaError, RecogniserError
from edge.live.client import LiveReader
from edge.portraits import COLLINS, load_portrait
from edge.synthesis.drawing import FPS, HEIGHT, WIDTH
from edge.system.markdown import format_table

COLUMNS = ("viewers", "pictures drawn per second and viewer", "p50 ms", "p95 ms", "max ms", "load")
_BITS, _BLOCK = 16, WIDTH // 16  # number of a frame in one row of blocks
_FRAMES = 450
_START_S = 120.0
_POLL_S = 0.1
# Notes the number of the drawn frame and the time at which the browser is about to repaint.
_WATCH = """({width, row, bits, block}) => {
    const canvas = document.getElementById('picture');
    const context = canvas.getContext('2d');
    window.drawn = [];
    let before = -1;
    const read = () => {
        if (canvas.width === width) {
            const pixels = context.getImageData(0, row, width, 1).data;
            let number = 0;
            for (let bit = 0; bit < bits; bit += 1)
                number = 2 * number + (pixels[4 * (bit + 0.5) * block] > 127);
            if (number !== before) {
                before = number;
                window.drawn.push([number, (performance.timeOrigin + performance.now()) / 1000]);
            }
        }
        requestAnimationFrame(read);
    };
    read();
}"""
_STAMP = {"width": WIDTH, "row": HEIGHT - _BLOCK // 2, "bits": _BITS, "block": _BLOCK}


@dataclass(frozen=True, slots=True)
class ViewersResult:
    """Delays with some viewers."""

    viewers: int
    seconds: float
    delays_ms: NDArray[np.float64]  # from the exposure to the repaint
    load: float  # of the machine, in processes that run or wait

    def row(self) -> list[str]:
        """Return the row of the table."""
        rate = len(self.delays_ms) / self.viewers / self.seconds
        p50, p95 = np.percentile(self.delays_ms, (50, 95))
        numbers = (f"{value:.0f}" for value in (p50, p95, self.delays_ms.max()))
        return [str(self.viewers), f"{rate:.1f}", *numbers, f"{self.load:.1f}"]


def write_clip(folder: Path) -> None:
    """Write pictures of a person, each with its number in the lowest row of blocks."""
    folder.mkdir(parents=True)
    portrait = load_portrait(COLLINS)[:384, :512]
    picture = cv2.resize(portrait, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    for number in range(_FRAMES):
        bits = [number >> (_BITS - 1 - bit) & 1 for bit in range(_BITS)]
        picture[-_BLOCK:] = 255 * np.repeat(bits, _BLOCK)[None, :, None]
        path = folder / f"{number:05d}.jpg"
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])


def prepare(bundle: Path, out: Path) -> Path:
    """Write clip and configuration to a fresh folder; return the configuration."""
    shutil.rmtree(out, ignore_errors=True)
    write_clip(out / "clip")
    keys: dict[str, Any] = {
        "terminal": "live-view",
        "bundle": str(bundle.resolve()),
        "state": "state",
        "camera": {"kind": "replay", "path": "clip", "fps": FPS, "loop": True},
        "liveness": {"kind": "none"},
        "console": {"listen": f"127.0.0.1:{_free_port()}", "kiosk_port": _free_port()},
    }
    path = out / "terminal.yaml"
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def run_process(config: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the end of the block; its output goes to a log file."""
    command = [sys.executable, "-m", module, *arguments, "--config", str(config)]
    with config.with_name(f"{module}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


class ExposureTimes:
    """Notes the exposure of each frame in a thread, as a client of the live socket."""

    def __init__(self, reader: LiveReader) -> None:
        self.wall: dict[int, float] = {}  # Unix seconds by number of the frame
        self._reader = reader
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> ExposureTimes:
        self._is_open = True
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        self._thread.join()
        self._reader.close()

    def _follow(self) -> None:
        while self._is_open:
            view = self._reader.read().view
            self.wall[view.number] = view.wall

    def find(self, number: int, drawn_at: float) -> float | None:
        """Return the latest exposure of a frame of the looped clip before a time."""
        rounds = (self.wall[key] for key in self.wall if key % _FRAMES == number)
        return max((wall for wall in rounds if wall <= drawn_at), default=None)


def _connect(path: Path, process: subprocess.Popen[bytes]) -> LiveReader:
    give_up = time.monotonic() + _START_S
    while True:
        try:
            return LiveReader(path)
        except RecogniserError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise
            time.sleep(_POLL_S)


def _open_kiosk(page: Page, address: str) -> None:
    """Open the kiosk's page as soon as the console answers, and wait for a picture."""
    give_up = time.monotonic() + _START_S
    while True:
        try:
            page.goto(address)
            break
        except Exception as error:
            if time.monotonic() > give_up:
                raise MfsaError(f"{address}: edge-console does not answer: {error}") from error
            time.sleep(_POLL_S)
    page.locator(f'#picture[width="{WIDTH}"]').wait_for()
    page.evaluate(_WATCH, _STAMP)


def measure(config: Path, viewers: int, seconds: float) -> ViewersResult:
    """Show the clip in some browser windows at once. Raises MfsaError."""
    terminal = load_config(config)
    address = f"http://127.0.0.1:{terminal.console.kiosk_port}/kiosk"
    with contextlib.ExitStack() as parts:
        recogniser = parts.enter_context(run_process(config, "edge.cli.daemon"))
        parts.enter_context(run_process(config, "edge.cli.console", "run"))
        reader = _connect(terminal.live_socket_path, recogniser)
        exposures = parts.enter_context(ExposureTimes(reader))
        playwright = parts.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        parts.callback(browser.close)
        pages = [browser.new_context().new_page() for _ in range(viewers)]
        for page in pages:
            _open_kiosk(page, address)
        pages[0].wait_for_timeout(2000)  # all caches are warm
        for page in pages:
            page.evaluate("window.drawn = []")
        pages[0].wait_for_timeout(1000 * seconds)
        drawn = [pair for page in pages for pair in page.evaluate("window.drawn")]
        load = os.getloadavg()[0]
    exposed = ((at, exposures.find(number, at)) for number, at in drawn)
    delays = [1000 * (at - wall) for at, wall in exposed if wall is not None]
    if not delays:
        raise MfsaError(f"{config.parent}: no picture was drawn; see the logs of this folder")
    return ViewersResult(viewers, seconds, np.array(delays), load)


def write_page(page: Path, table: str, seconds: float) -> None:
    """Write the table between the marks of the page."""
    machine = describe_this_machine()
    measured = f"{machine.processor}, {machine.cores} cores; {seconds:.0f} s for each row."
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    text = "\n".join((BEGIN, "", measured, "", table, END))
    page.write_text(before + text + after, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"))
    parser.add_argument("--out", type=Path, default=Path("build/live-view"))
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each row")
    parser.add_argument("--page", type=Path, help="page to write the table to; default: print it")
    args = parser.parse_args(argv)
    config = prepare(args.bundle, args.out)
    results = [measure(config, count, args.seconds) for count in args.viewers]
    table = format_table(COLUMNS, (result.row() for result in results))
    print(table)
    if args.page is not None:
        write_page(args.page, table, args.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
