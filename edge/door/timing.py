"""Timing of one door, and its states that survive a restart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.config.door import DoorConfig
from edge.values import Grant

Relock = Literal["timeout", "on_open", "on_close", "on_passage"]


@dataclass(frozen=True, slots=True)
class DoorTiming:
    """Times of one door in seconds; see the keys of the same names in the configuration."""

    pulse_s: float
    extended_pulse_s: float  # for people who need more time; `pulse_s` is the least
    rex_pulse_s: float
    held_open_s: float  # a door open longer is an alarm
    relock: Relock  # after the pulse, or earlier by the contact or a passage
    max_grant_unlock_s: float  # unlocked by grants alone; beyond it grants are refused
    alarm_on_duress: bool  # a duress PIN energises the alarm relay

    def pulse_for(self, grant: Grant) -> float:
        """Return how long a grant unlocks the door, in seconds."""
        return max(self.pulse_s, self.extended_pulse_s) if grant.extended else self.pulse_s


def build_timing(door: DoorConfig) -> DoorTiming:
    """Return the timing of a configuration."""
    return DoorTiming(
        door.pulse_s,
        door.extended_pulse_s,
        door.rex_pulse_s,
        door.held_open_s,
        door.relock,
        door.max_grant_unlock_s,
        door.alarm_on_duress,
    )


@dataclass(frozen=True, slots=True)
class LatchedStates:
    """States that survive a restart: the restrictive ones and the fire latch, never a hold."""

    fire: bool = False
    lockdown: bool = False
    tamper: bool = False
    duress: bool = False
