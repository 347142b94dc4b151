"""`edge-bench camera`: the camera alone, through the recogniser's capture thread."""

from __future__ import annotations

import math
import time

from tqdm import tqdm

from edge.bench import machine
from edge.bench.accumulator import CountingCamera, DecimatedSeries, rounded_series
from edge.bench.interrupt import InterruptHandler
from edge.bench.measure import DURATION, INTERRUPTED, RECORDING_OVER, check_length
from edge.bench.quantities import Summary
from edge.bench.results import CameraReport
from edge.bench.sources import Source
from edge.camera.capture import Capture
from edge.errors import CameraError

_TAKE_S = 0.2
_DURATION_S = 10.0


def measure_camera(
    source: Source, duration_s: float | None, stop: InterruptHandler
) -> CameraReport:
    """Take every frame as soon as it arrives; raises CameraError if none arrives."""
    plays_once = source.recorded and duration_s is None
    limit_s = math.inf if plays_once else duration_s or _DURATION_S
    camera = CountingCamera(lambda: source.paced(not plays_once))
    capture = Capture(camera.reopen, first=camera)
    ages, size = DecimatedSeries(), None
    lost: list[str] = []
    began = time.monotonic()
    bar = tqdm(
        total=None if plays_once else round(limit_s),
        desc="watching",
        unit="s",
        leave=False,
        disable=None,
    )
    ended = INTERRUPTED
    while not stop:
        frame, passed = capture.take(_TAKE_S), time.monotonic() - began
        bar.update(int(passed) - bar.n)
        if frame is not None:
            ages.add(began + passed - frame.at)
            size = size or f"{frame.image.shape[1]}x{frame.image.shape[0]}"
        if capture.lost is not None and lost[-1:] != [capture.lost]:
            lost.append(capture.lost)
        if passed >= limit_s or (frame is None and capture.ended):
            ended = DURATION if passed >= limit_s else RECORDING_OVER
            break
    bar.close()
    capture.close()
    if not camera.frames:
        raise CameraError(
            f"no frame in {time.monotonic() - began:.0f} s: "
            f"{capture.lost or 'the camera is silent'}"
        )
    if ended == RECORDING_OVER:
        check_length(camera.frames)
    return CameraReport(
        made_at=machine.now(),
        machine=machine.describe_this_machine(),
        source=source.name,
        frame_size=size,
        ended=ended,
        seconds=round(time.monotonic() - began, 3),
        camera=camera.summarise(capture.dropped, Summary.from_ms(ages.ms())),
        lost=tuple(lost),
        series=camera.series() | rounded_series({"age": ages.ms()}),
    )
