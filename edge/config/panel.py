"""Access control panel whose reader the terminal is: by OSDP, or by Wiegand pulses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config.osdp import OsdpPeripheralConfig
from edge.config.section import Section
from edge.config.wiegand_lines import OnesLine, WiegandChip, ZerosLine


class PanelParityConfig(Section):
    """A parity bit of a custom format that the terminal sends."""

    bit: int = Field(
        ge=0, le=255, title="Bit", description="Place of the parity bit; 0 is sent first."
    )
    mask: str = Field(
        pattern=r"^0x[0-9a-f]{1,64}$",
        title="Mask",
        description="Bits that are counted, the parity bit included; the first bit is the highest.",
        examples=['"0x3ffe000"'],
    )
    odd: bool = Field(
        title="Odd", description="true: the number of ones is odd.", examples=["false"]
    )


class PanelFieldConfig(Section):
    """Range of bits of a custom format."""

    start: int = Field(ge=0, le=255, title="Start", description="First bit; 0 is sent first.")
    length: int = Field(ge=1, le=64, title="Length", description="Number of bits.")


class PanelFormatConfig(Section):
    """A card format that the terminal sends instead of 26, 34 or 37 bits."""

    bits: int = Field(ge=9, le=256, title="Bits", description="Length of a frame.", examples=["35"])
    number: PanelFieldConfig = Field(
        title="Card number",
        description="Bits of the card number.",
        examples=["{start: 14, length: 20}"],
    )
    facility: PanelFieldConfig | None = Field(
        None,
        title="Facility code",
        description="Bits of the facility code. Not set: the format has none.",
        examples=["{start: 2, length: 12}"],
    )
    parity: tuple[PanelParityConfig, ...] = Field(
        (),
        max_length=8,
        title="Parity",
        description="Parity bits in the order in which they are computed.",
        examples=['[{bit: 1, mask: "0x36db6db6c", odd: false}]'],
    )

    @model_validator(mode="after")
    def _fits(self) -> PanelFormatConfig:
        fields = [part for part in (self.number, self.facility) if part is not None]
        places = [place for part in fields for place in range(part.start, part.start + part.length)]
        places += [parity.bit for parity in self.parity]
        if max(places) >= self.bits:
            raise ValueError(
                f"bit {max(places)} is outside the frame; write at most {self.bits - 1}"
            )
        if len(set(places)) < len(places):
            raise ValueError("two of facility code, card number and parity use the same bit")
        for index, parity in enumerate(self.parity):
            mask = int(parity.mask, 16)
            own, later = self._mask(parity.bit), self.parity[index + 1 :]
            if mask >> self.bits or not mask & own:
                raise ValueError(
                    f"the mask {parity.mask} must fit into {self.bits} bits and contain bit "
                    f"{parity.bit}"
                )
            if any(mask & self._mask(other.bit) for other in later):
                raise ValueError(
                    f"the mask {parity.mask} contains a later parity bit; change the order"
                )
        return self

    def _mask(self, bit: int) -> int:
        return 1 << (self.bits - 1 - bit)


class WiegandPanelConfig(Section):
    """Two lines to an access control panel, which decides; lgpio sends the pulses."""

    kind: Literal["wiegand"]
    chip: WiegandChip
    d0: ZerosLine
    d1: OnesLine
    active_high: bool = Field(
        False,
        title="Active level",
        description="Level of the pin during a pulse. false: low. true: high, for a transistor "
        "that pulls the wire low.",
    )
    pulse_us: int = Field(
        50,
        ge=20,
        le=100,
        title="Pulse",
        description="Microseconds of a pulse; SIA AC-01 allows 20 to 100.",
    )
    interval_us: int = Field(
        2000,
        ge=200,
        le=20_000,
        title="Interval",
        description="Microseconds between the beginnings of two pulses; SIA AC-01 allows 200 to "
        "20000.",
    )
    card_bits: Literal[26, 34, 37] = Field(
        26,
        title="Card bits",
        description="Length of the frame of a person's panel card that is a number only.",
    )
    facility: int = Field(
        0,
        ge=0,
        title="Facility code",
        description="Facility code of a person's panel card that is a number only.",
    )
    format: PanelFormatConfig | None = Field(
        None,
        title="Format",
        description="Another format of the panel cards that are a number only, instead of "
        "`card_bits`.",
        examples=["{bits: 16, number: {start: 0, length: 16}}"],
    )
    forward_cards: bool = Field(
        False,
        title="Forward cards",
        description="true: a card that belongs to no person of this door is sent to the panel "
        "as read. false: it is refused here.",
    )

    @property
    def switch_relay(self) -> bool:
        """False: the panel owns the lock, and its decision is not known here."""
        return False

    @model_validator(mode="after")
    def _is_consistent(self) -> WiegandPanelConfig:
        if self.d0 == self.d1:
            raise ValueError(f"d0 and d1 are the same line: {self.d0}; write two lines")
        if self.interval_us < 2 * self.pulse_us:
            raise ValueError(
                f"interval_us: expected at least two pulses of {self.pulse_us} us, "
                f"found {self.interval_us}"
            )
        return self


PanelConfig = Annotated[OsdpPeripheralConfig | WiegandPanelConfig, Field(discriminator="kind")]
