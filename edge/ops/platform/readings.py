"""Readings of a machine; a value that is not available is absent, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

# Rails, or sets of rails, that supply the complete module; the first available set counts.
_SUPPLY: tuple[tuple[str, ...], ...] = (
    ("VDD_IN",),
    ("VIN",),
    ("POM_5V_IN",),
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


@dataclass(frozen=True, slots=True)
class MachineSetup:
    """Setup of a machine; None: not available."""

    board: str | None = None
    l4t: str | None = None  # release of a Jetson's Linux
    power_mode: str | None = None  # of nvpmodel
    clocks_locked: bool | None = None  # by jetson_clocks or a similar tool
    governor: str | None = None  # of the CPU's clock


@dataclass(frozen=True, slots=True)
class MachineReading:
    """Reading of a machine; an absent key or None: not available."""

    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    rails_w: Mapping[str, float] = field(default_factory=dict)
    loads: Mapping[str, float] = field(default_factory=dict)  # percent
    throttled_by: tuple[str, ...] | None = None  # causes of throttling now; empty: none
    throttle_events: int | None = None  # since boot

    @property
    def power_w(self) -> float | None:
        """Power of the module or board, None if no supply rail is available."""
        for rails in _SUPPLY:
            if all(rail in self.rails_w for rail in rails):
                return round(sum(self.rails_w[rail] for rail in rails), 3)
        return None

    def merged(self, other: MachineReading) -> MachineReading:
        """Return this reading with the missing values of another one."""
        return MachineReading(
            {**other.clocks_mhz, **self.clocks_mhz},
            {**other.temperatures_c, **self.temperatures_c},
            {**other.rails_w, **self.rails_w},
            {**other.loads, **self.loads},
            other.throttled_by if self.throttled_by is None else self.throttled_by,
            other.throttle_events if self.throttle_events is None else self.throttle_events,
        )


class Platform(Protocol):
    """Machine with readings; never raises for a value that is not available."""

    def setup(self) -> MachineSetup: ...

    def read(self) -> MachineReading: ...

    def close(self) -> None: ...
