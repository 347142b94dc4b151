"""What a machine says of itself while it works; what it cannot say is absent, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

# Rails that carry everything, and sets of rails that do so together; by the first that is there.
_WHOLE: tuple[tuple[str, ...], ...] = (
    ("VDD_IN",),
    ("VIN",),
    ("POM_5V_IN",),
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


@dataclass(frozen=True, slots=True)
class MachineSetup:
    """How a machine is set up; None: not available."""

    board: str | None = None
    l4t: str | None = None  # release of a Jetson's Linux
    power_mode: str | None = None  # of nvpmodel
    clocks_locked: bool | None = (
        None  # whether jetson_clocks, or something like it, holds clocks where they are
    )
    governor: str | None = None  # of the CPU's clock


@dataclass(frozen=True, slots=True)
class MachineReading:
    """One look at a machine; an absent key or None: not available."""

    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    rails_w: Mapping[str, float] = field(default_factory=dict)
    loads: Mapping[str, float] = field(default_factory=dict)  # percent
    throttled_by: tuple[str, ...] | None = None  # what slows it down now; empty: nothing does
    throttle_events: int | None = None  # since it was started

    @property
    def power_w(self) -> float | None:
        """Of the whole module or board, where a rail or a set of rails says so."""
        for rails in _WHOLE:
            if all(rail in self.rails_w for rail in rails):
                return round(sum(self.rails_w[rail] for rail in rails), 3)
        return None

    def merged(self, other: MachineReading) -> MachineReading:
        """With what the other knows besides."""
        return MachineReading(
            {**other.clocks_mhz, **self.clocks_mhz},
            {**other.temperatures_c, **self.temperatures_c},
            {**other.rails_w, **self.rails_w},
            {**other.loads, **self.loads},
            other.throttled_by if self.throttled_by is None else self.throttled_by,
            other.throttle_events if self.throttle_events is None else self.throttle_events,
        )


class Platform(Protocol):
    """A machine that can be looked at again and again; never raises for what it cannot tell."""

    def setup(self) -> MachineSetup: ...

    def read(self) -> MachineReading: ...

    def close(self) -> None: ...
