"""Measures all steps from camera to relay, by stage and end to end."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Sequence

from tqdm import tqdm

from edge.audit.sealing import score_cipher
from edge.audit.writer import AuditLogWriter
from edge.bench import machine
from edge.bench.accumulator import CountingCamera, RunStatistics, rounded_series
from edge.bench.accuracy import accuracy_in_use
from edge.bench.door import BenchDoor
from edge.bench.interrupt import InterruptHandler
from edge.bench.loop import BenchLoop, FrameTiming, ReplayClock
from edge.bench.prepare import PreparedBench
from edge.bench.quantities import CameraStatistics, MachineSample, Speed
from edge.bench.results import PipelineReport
from edge.bench.sources import load_frames
from edge.camera.capture import Capture
from edge.errors import CameraError, ConfigError, DoorError
from edge.ops.platform import open_platform
from edge.system.text import format_count
from edge.values import Frame

_TAKE_S = 0.2
_LOST_S = 10.0  # without a frame for this time a measurement ends
_FRAMES_MIN = 5  # of a recording that is played once
_DURATION_S = 30.0  # default if the source has no end
DURATION, RECORDING_OVER, ALL_DONE, INTERRUPTED = (
    "duration",
    "end of the recording",
    "all frames done",
    "interrupted",
)

OnFrame = Callable[
    [FrameTiming, float, int, machine.MachineMonitor], None
]  # called after each frame: seconds since the start, frames dropped so far
_Driven = tuple[str, CameraStatistics]  # reason of the end, camera statistics


def measure(
    bench: PreparedBench, stop: InterruptHandler, on_frame: OnFrame = lambda *_: None
) -> PipelineReport:
    """Measure; raises CameraError, EngineError, RecordError or DoorError."""
    door, followed = _open_door(bench)
    record = AuditLogWriter(
        bench.folder / "decisions",
        log_id="bench/decisions",
        encrypt=score_cipher(os.urandom(32), "bench").encrypt_text,
    )
    platform = open_platform()
    watch = machine.MachineMonitor(platform, bench.options.sample_interval_s)
    gc.collect()
    try:
        watch.start()
        began, worked = time.monotonic(), time.process_time()
        virtual = ReplayClock() if bench.options.flat_out else None
        loop = bench.loop(door=door, record=record, virtual=virtual)
        tally = RunStatistics(0.0 if virtual else began)
        ended, camera = (
            _flat_out(bench, loop, virtual, tally, stop)
            if virtual
            else _at_pace(bench, loop, tally, watch, stop, on_frame)
        )
        seconds, cpu_s = time.monotonic() - began, time.process_time() - worked
        watch.stop()
        described, switched = machine.describe(platform), door.switched() if door else []
    finally:
        watch.stop()
        platform.close()
        record.close()
        if door:
            door.close()
    _check_frames(tally, stop)
    samples = watch.samples
    speed, events = _speed(tally, tally.busy_s if virtual else seconds, cpu_s, samples, switched)
    return PipelineReport(
        made_at=machine.now(),
        machine=described,
        conditions=bench.conditions(followed),
        accuracy=accuracy_in_use(bench.timed.networks),
        ended=ended,
        speed=speed,
        camera=camera,
        memory=machine.memory(samples),
        throttling=machine.throttling(samples),
        samples=tuple(samples),
        series=tally.series() | rounded_series(events),
    )


def _check_frames(tally: RunStatistics, stop: InterruptHandler) -> None:
    if tally.frames:
        return
    if stop:
        raise KeyboardInterrupt
    raise CameraError("no frame came while it was measured; check the camera")


def _open_door(bench: PreparedBench) -> tuple[BenchDoor | None, str]:
    """Start a door process; return it and how far a grant is followed."""
    if bench.options.flat_out:
        return None, "to the grant on record: a door refuses frames that are not of now"
    if not bench.options.door:
        return None, "to the grant on record, as asked"
    try:
        return BenchDoor(bench.folder), "to the simulated relay of a door process"
    except DoorError as error:
        return None, f"to the grant on record: {error}"


def check_length(frames: int) -> None:
    """Check that a recording played once is long enough; raises ConfigError."""
    if frames < _FRAMES_MIN:
        raise ConfigError(
            f"the recording is over after {format_count(frames, 'frame')}, at least {_FRAMES_MIN} "
            "are needed; repeat it with --duration 30"
        )


def _at_pace(
    bench: PreparedBench,
    loop: BenchLoop,
    statistics: RunStatistics,
    watch: machine.MachineMonitor,
    stop: InterruptHandler,
    on_frame: OnFrame,
) -> _Driven:
    """Process frames at the camera's pace, for a time or to the end."""
    source, duration_s = bench.source, bench.options.duration_s
    plays_once = source.recorded and duration_s is None
    limit_s = math.inf if plays_once else duration_s or _DURATION_S
    camera = CountingCamera(lambda: source.paced(not plays_once))
    capture = Capture(camera.reopen, first=camera)
    began = heard = time.monotonic()
    bar = tqdm(
        total=None if plays_once else round(limit_s),
        desc="measuring",
        unit="s",
        leave=False,
        disable=None,
    )
    ended = INTERRUPTED
    try:
        while not stop:
            frame, now = capture.take(_TAKE_S), time.monotonic()
            bar.update(int(now - began) - bar.n)
            if now - began >= limit_s or (capture.ended and frame is None):
                ended = DURATION if now - began >= limit_s else RECORDING_OVER
                break
            if frame is None:
                if now - heard > _LOST_S:
                    raise CameraError(
                        f"no frame for {_LOST_S:.0f} s: {capture.lost or 'the camera is silent'}"
                    )
                continue
            heard = now
            turn = loop.process_frame(frame)
            statistics.add(turn)
            on_frame(turn, now - began, capture.dropped, watch)
    finally:
        bar.close()
        capture.close()
    if ended == RECORDING_OVER:
        check_length(camera.frames)
    return ended, camera.summarise(capture.dropped, statistics.age())


def _flat_out(
    bench: PreparedBench,
    loop: BenchLoop,
    replay_clock: ReplayClock,
    statistics: RunStatistics,
    stop: InterruptHandler,
) -> _Driven:
    """Process frames from memory in a loop, with the times of a camera."""
    images = load_frames(bench.source, bench.options.flat_out)
    for number in tqdm(
        range(bench.options.flat_out), desc="measuring", unit="frame", leave=False, disable=None
    ):
        if stop:
            break
        at = number / bench.source.fps
        replay_clock.begin(at)
        statistics.add(loop.process_frame(Frame(images[number % len(images)], at, number)))
    camera = CameraStatistics(
        frames=statistics.frames,
        rate_fps=None,
        interval=None,
        jitter=None,
        age=None,
        dropped=0,
        gaps=0,
    )
    return INTERRUPTED if stop else ALL_DONE, camera


def _speed(
    statistics: RunStatistics,
    seconds: float,
    cpu_s: float,
    samples: Sequence[MachineSample],
    switched: Sequence[float],
) -> tuple[Speed, dict[str, list[float]]]:
    """Return the speed and the single end-to-end times."""
    end_to_end, events = statistics.end_to_end(switched)
    throughput = statistics.frames / seconds
    speed = Speed(
        seconds=round(seconds, 3),
        frames=statistics.frames,
        looked_at=statistics.looked_at,
        faces=statistics.faces,
        embedded=statistics.embedded,
        throughput_fps=round(throughput, 3),
        capacity_fps=round(statistics.frames / statistics.busy_s, 3),
        cpu_s=round(cpu_s, 3),
        cpu_ms_per_frame=round(cpu_s / statistics.frames * 1000, 3),
        frame=statistics.frame(),
        stages=statistics.stages(),
        networks=statistics.networks(),
        end_to_end=end_to_end,
        grants=len(statistics.grants),
        openings=len(events["frame_to_relay"]),
        power=machine.power(samples, throughput),
    )
    return speed, events
