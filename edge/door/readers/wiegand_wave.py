"""Wiegand frames as a waveform of two lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge.door.readers.events import CardRead

_FRAME_GAP_US = 100_000  # idle time after a frame, so that the panel takes it as complete


@dataclass(frozen=True, slots=True)
class WaveStep:
    """Levels of D0 (bit 0) and D1 (bit 1) for a time."""

    levels: int
    duration_us: int


@dataclass(frozen=True, slots=True)
class WaveTiming:
    """Times of a frame in microseconds, and the level of a pulse."""

    pulse_us: int
    interval_us: int  # between the beginnings of two pulses
    active_high: bool

    @property
    def idle_levels(self) -> int:
        """Levels of both lines between the pulses."""
        return 0b00 if self.active_high else 0b11

    def wave_s(self, bits: int) -> float:
        """Return the seconds that a frame of `bits` bits and the gap after it take."""
        return (bits * self.interval_us + _FRAME_GAP_US) / 1e6


def build_wave(card: CardRead, timing: WaveTiming) -> list[WaveStep]:
    """Return a pulse on D0 for each 0 and on D1 for each 1, first bit first; it ends idle."""
    idle = timing.idle_levels
    steps = []
    for place in reversed(range(card.bits)):
        line = 1 << (card.data >> place & 1)
        steps.append(WaveStep(idle ^ line, timing.pulse_us))
        steps.append(WaveStep(idle, timing.interval_us - timing.pulse_us))
    return [*steps, WaveStep(idle, _FRAME_GAP_US)]
