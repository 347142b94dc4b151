"""Readings from `tegrastats` on a Jetson; JetPack 5, 6 and 7 differ in format."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading

from edge.ops.platform.readings import MachineReading

_CPU = re.compile(r"\bCPU \[([^\]]*)\](?:@(\d+))?")
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@(?:\[([^\]]*)\]|(\d+)))?")
_MEMORY = re.compile(r"\bEMC_FREQ (?:(\d+)%)?(?:@(\d+))?")
_TEMPERATURE = re.compile(r"\b([A-Za-z][A-Za-z0-9_]*)@(-?\d+(?:\.\d+)?)C")
_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]+) (\d+)(?:mW)?/\d+(?:mW)?(?=[ /]|$)")
_COLDEST_C = -40.0
_CONSTANT = ("pmic",)  # a constant of the driver, not a temperature
_END_S = 2.0


def parse_line(line: str) -> MachineReading:
    """Parse a line. A value that is not in it is absent, and so is a clock of 0 (asleep)."""
    clocks: dict[str, float] = {}
    loads: dict[str, float] = {}
    _cpus(line, clocks, loads)
    for name, pattern in (("gpu", _GPU), ("emc", _MEMORY)):
        if match := pattern.search(line):
            if match[1]:
                loads[name] = float(match[1])
            numbers = re.findall(r"\d+", ",".join(filter(None, match.groups()[1:])))
            if mhz := max(map(float, numbers), default=0.0):
                clocks[name] = mhz
    temperatures = {name.lower(): float(celsius) for name, celsius in _TEMPERATURE.findall(line)}
    return MachineReading(
        clocks_mhz=clocks,
        temperatures_c={
            n: t for n, t in temperatures.items() if t > _COLDEST_C and n not in _CONSTANT
        },
        rails_w={name: int(milliwatts) / 1e3 for name, milliwatts in _RAIL.findall(line)},
        loads=loads,
    )


def _cpus(line: str, clocks: dict[str, float], loads: dict[str, float]) -> None:
    """Parse `[1%@729,off,2%@729]` or `[1%,2%]@2601`; a processor that is off is left out."""
    match = _CPU.search(line)
    for number, cpu in enumerate(match[1].split(",") if match else ()):
        load, _, mhz = cpu.strip().partition("%")
        if load.isdigit():
            loads[f"cpu{number}"] = float(load)
            if mhz := mhz.lstrip("@") or (match[2] or "" if match else ""):
                clocks[f"cpu{number}"] = float(mhz)


class Tegrastats:
    """Running command; `newest` is the reading of its last line."""

    def __init__(self, command: str = "tegrastats", interval_ms: int = 1000) -> None:
        self.newest = MachineReading()
        self._process: subprocess.Popen[str] | None = None
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                [command, "--interval", str(interval_ms)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._thread = threading.Thread(
                target=self._follow, args=(self._process,), name="tegrastats", daemon=True
            )
            self._thread.start()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.newest = parse_line(line)

    def close(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join(_END_S)  # it reads to the end and closes the pipe
