"""How one door behaves, and what of its state outlives a restart."""

from __future__ import annotations

from dataclasses import dataclass

from edge.values import Grant


@dataclass(frozen=True, slots=True)
class DoorTiming:
    """How one door behaves; seconds."""

    pulse_s: float
    extended_pulse_s: float = 10.0  # for people who need longer, and never less than `pulse_s`
    rex_pulse_s: float = 3.0
    held_open_s: float = 30.0  # from here on an open door is an alarm
    relock: str = "timeout"  # timeout, on_open or on_close
    max_grant_unlock_s: float = 120.0  # longest unlock by grants alone; beyond it an alarm

    def pulse_for(self, grant: Grant) -> float:
        """How long a grant opens."""
        return max(self.pulse_s, self.extended_pulse_s) if grant.extended else self.pulse_s


@dataclass(frozen=True, slots=True)
class LatchedStates:
    """What outlives a restart: only what restricts, and the fire latch. Never hold-open."""

    fire: bool = False
    lockdown: bool = False
    tamper: bool = False
