"""Description of the machine, and samples of its load while it is measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform as python_platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from edge.bench.quantities import Machine, MachineSample, Memory, Power, Slope, Throttling
from edge.ops.platform import MachineReading, Platform, open_platform

_PACKAGES = ("mfsa-edge", "numpy", "onnxruntime", "opencv-python-headless", "tensorrt", "pycuda")
_MIB = 1 << 20
_SETTLE_S = (
    60.0  # memory grows at first in every process: the first seconds are left out of the slope
)


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def describe(platform: Platform) -> Machine:
    setup = platform.setup()
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=_memory_mib(),
        system=" ".join(
            (python_platform.system(), python_platform.release(), python_platform.machine())
        ),
        board=setup.board,
        l4t=setup.l4t,
        power_mode=setup.power_mode,
        clocks_locked=setup.clocks_locked,
        governor=setup.governor,
        versions={"python": python_platform.python_version(), **_versions()},
    )


def describe_this_machine() -> Machine:
    """Return the description of this machine."""
    platform = open_platform()
    try:
        return describe(platform)
    finally:
        platform.close()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor(path: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return the processor's name from the kernel; ARM kernels have none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    fields = (line.partition(":") for line in lines)
    return next(
        (
            value.strip()
            for key, _, value in fields
            if key.strip().lower() in ("model name", "cpu model")
        ),
        None,
    )


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    except (OSError, ValueError):
        return None


def rss_mib(path: Path = Path("/proc/self/statm")) -> float:
    """Return the resident memory of this process in MiB."""
    return int(path.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the file system of a folder, such as ext4.

    It determines the cost of a durable record.
    """
    try:
        lines = [
            line.split()
            for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
    except OSError:
        return None
    folder = path.resolve()
    over = [
        (len(point), kind)
        for _, point, kind, *_ in lines
        if folder == Path(point) or Path(point) in folder.parents
    ]
    return max(over)[1] if over else None


class MachineMonitor:
    """Samples the machine every `interval_s` seconds in a thread, from `start` to `stop`."""

    def __init__(
        self, platform: Platform, interval_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._platform, self._interval_s, self._clock = platform, interval_s, clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._samples: list[
            bytes
        ] = []  # packed, so that the samples do not show in the memory that is measured
        self._started = self._looked = self._worked = 0.0

    @property
    def samples(self) -> Sequence[MachineSample]:
        return tuple(MachineSample.model_validate_json(packed) for packed in self._samples)

    @property
    def newest(self) -> MachineSample:
        """Return the newest sample; take one if there is none."""
        if not self._samples:
            self.sample()
        return MachineSample.model_validate_json(self._samples[-1])

    def start(self) -> None:
        self._platform.read()  # loads are measured between two reads
        self._started = self._looked = self._clock()
        self._worked = time.process_time()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and stop; a second call does nothing."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self.sample()

    def sample(self) -> None:
        """Take a sample now."""
        reading, at, worked = self._platform.read(), self._clock(), time.process_time()
        passed = at - self._looked
        percent = round(100 * (worked - self._worked) / passed, 1) if passed > 0 else None
        self._looked, self._worked = at, worked
        self._samples.append(
            _sample(at - self._started, reading, percent).model_dump_json().encode()
        )

    def _run(self) -> None:
        self.sample()
        while not self._stop.wait(self._interval_s):
            self.sample()


def _sample(at_s: float, reading: MachineReading, percent: float | None) -> MachineSample:
    return MachineSample(
        at_s=round(at_s, 3),
        rss_mib=round(rss_mib(), 3),
        cpu_percent=percent,
        clocks_mhz={name: round(mhz, 1) for name, mhz in reading.clocks_mhz.items()},
        temperatures_c=dict(reading.temperatures_c),
        rails_w=dict(reading.rails_w),
        power_w=reading.power_w,
        loads=dict(reading.loads),
        throttled_by=reading.throttled_by,
        throttle_events=reading.throttle_events,
    )


def memory(samples: Sequence[MachineSample]) -> Memory:
    """Return the memory of this process; raises ValueError without samples."""
    rss, total_s = [sample.rss_mib for sample in samples], samples[-1].at_s
    settled = [sample for sample in samples if sample.at_s >= min(_SETTLE_S, total_s / 4)]
    slope = Slope.fit([sample.at_s for sample in settled], [sample.rss_mib for sample in settled])
    return Memory(
        start_mib=rss[0],
        end_mib=rss[-1],
        peak_mib=max(rss),
        slope_mib=slope if total_s >= _SETTLE_S else None,
    )


def throttling(samples: Sequence[MachineSample]) -> Throttling:
    causes_seen = [sample.throttled_by for sample in samples if sample.throttled_by is not None]
    counts = [sample.throttle_events for sample in samples if sample.throttle_events is not None]
    causes = Counter(cause for one in causes_seen for cause in one)
    return Throttling(
        known=bool(causes_seen or counts),
        by={cause: round(count / len(causes_seen), 3) for cause, count in causes.items()},
        events=counts[-1] - counts[0] if counts else None,
    )


def power(samples: Sequence[MachineSample], throughput_fps: float) -> Power | None:
    """Return the power, or None if the machine does not measure it."""
    watts = [sample.power_w for sample in samples if sample.power_w]
    if not watts:
        return None
    mean = sum(watts) / len(watts)
    return Power(mean_w=round(mean, 3), frames_per_joule=round(throughput_fps / mean, 3))
