"""Sensors of a Linux machine from the kernel's files, below any root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_CPU = "sys/devices/system/cpu"
_COLDEST_C = -40.0  # zones without power report -256
_ALERTS = ("throttle-alert", "hot-surface-alert")


def read_text(path: Path) -> str | None:
    """Return the stripped content of a file, None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return None


def read_number(path: Path) -> float | None:
    """Return the number in a file, None if there is none."""
    try:
        return float(read_text(path) or "")
    except ValueError:
        return None


def list_cpus(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and cpufreq folder of each processor that is on."""
    for folder in sorted((root / _CPU).glob("cpu[0-9]*"), key=lambda p: int(p.name[3:])):
        if read_text(folder / "online") != "0" and (folder / "cpufreq").is_dir():
            yield folder.name, folder / "cpufreq"


def find_gpu(root: Path) -> Path | None:
    """Return the devfreq folder of a Tegra's GPU, None if there is none.

    `17000000.ga10b` in JetPack 5, `17000000.gpu` in 6, `gpu-gpc-0` on Thor.
    """
    for pattern in ("gpu-gpc-0", "*.gpu", "*.ga10b", "*.gv11b", "*.gp10b"):
        for folder in sorted((root / "sys/class/devfreq").glob(pattern)):
            return folder
    return None


def clocks_mhz(root: Path) -> dict[str, float]:
    """Return the clock of each processor and of the GPU; a sleeping one is left out."""
    found = {name: read_number(folder / "scaling_cur_freq") for name, folder in list_cpus(root)}
    clocks = {name: khz / 1e3 for name, khz in found.items() if khz}
    folder = find_gpu(root)
    hz = read_number(folder / "cur_freq") if folder else None
    return {**clocks, "gpu": hz / 1e6} if hz else clocks


def gpu_load(root: Path) -> float | None:
    """Return the load of the GPU in percent."""
    folder = find_gpu(root)
    per_mille = read_number(folder / "device/load") if folder else None
    return None if per_mille is None else per_mille / 10


def clocks_locked(root: Path) -> bool | None:
    """Return True if all clocks are fixed, as by `jetson_clocks`; None if that is unknown."""
    folders = [
        (folder / "scaling_min_freq", folder / "scaling_max_freq") for _, folder in list_cpus(root)
    ]
    graphics = find_gpu(root)
    if graphics is not None:
        folders.append((graphics / "min_freq", graphics / "max_freq"))
    limits = [(read_number(low), read_number(high)) for low, high in folders]
    if not limits or any(value is None for pair in limits for value in pair):
        return None
    return all(low == high for low, high in limits)


def governor(root: Path) -> str | None:
    """Return the governor of the processors, joined if they differ."""
    found = {
        name for _, folder in list_cpus(root) if (name := read_text(folder / "scaling_governor"))
    }
    return ", ".join(sorted(found)) or None


def zone_name(name: str) -> str:
    """Return the short name of a zone: `cpu` for `CPU-therm` (JetPack 5) and `cpu-thermal`."""
    return re.sub(r"[-_]?therm(al)?$", "", name.lower()) or name.lower()


def temperatures_c(root: Path) -> dict[str, float]:
    """Return temperatures by thermal zone."""
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        name, milli = read_text(zone / "type"), read_number(zone / "temp")
        if name and milli is not None and milli / 1e3 > _COLDEST_C:
            found[zone_name(name)] = milli / 1e3
    return found


def rails_w(root: Path) -> dict[str, float]:
    """Return power by label, from the monitors INA3221 and INA238."""
    found: dict[str, float] = {}
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        chip = read_text(folder / "name") or ""
        if chip == "ina3221":
            found |= _ina3221(folder)
        elif (
            chip.startswith("ina2")
            and (microwatts := read_number(folder / "power1_input")) is not None
        ):
            found[read_text(folder / "power1_label") or "VIN"] = microwatts / 1e6
    return found


def _ina3221(folder: Path) -> dict[str, float]:
    found = {}
    for channel in (1, 2, 3):
        label = read_text(folder / f"in{channel}_label")
        millivolts, milliamperes = (
            read_number(folder / f"in{channel}_input"),
            read_number(folder / f"curr{channel}_input"),
        )
        if label and label != "NC" and millivolts is not None and milliamperes is not None:
            found[label] = millivolts * milliamperes / 1e6
    return found


def throttled_by(root: Path) -> tuple[str, ...] | None:
    """Return the kernel's active throttling alerts, None if it has no alerts."""
    alerts = []
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        name, state = read_text(device / "type") or "", read_number(device / "cur_state")
        if name.endswith(_ALERTS) and state is not None:
            alerts.append((name, state > 0))
    return tuple(name for name, active in alerts if active) if alerts else None


def throttle_events(root: Path) -> int | None:
    """Return the throttling events since boot, None if they are not counted.

    Over-current events of a Tegra, thermal events of a PC's processors.
    """
    counters = [
        *(root / "sys/class/hwmon").glob("hwmon*/oc[0-9]*_event_cnt"),
        *(root / _CPU).glob("cpu[0-9]*/thermal_throttle/core_throttle_count"),
    ]
    counts = [count for path in counters if (count := read_number(path)) is not None]
    return int(sum(counts)) if counts else None
