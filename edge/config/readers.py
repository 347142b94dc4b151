"""Card and PIN readers of the door process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge.config.lane import ReaderSection
from edge.config.osdp import OsdpReaderConfig
from edge.config.section import ConfigPath, Section
from edge.config.wiegand_lines import OnesLine, WiegandChip, ZerosLine

_STANDARD_BITS = (26, 34, 37)
_STABLE = ("/dev/input/by-id/", "/dev/input/by-path/")


class SimulatedReaderConfig(ReaderSection):
    """A socket that accepts `card 26:12:3456` and `pin 1234`, for tests and demos."""

    kind: Literal["simulated"]
    path: ConfigPath = Field(
        title="Socket",
        description="Unix datagram socket, one line for each datagram.",
        examples=["/run/mfsa-door/reader.sock"],
    )


class ParityConfig(Section):
    """A parity bit of a custom card format."""

    mask: str = Field(
        pattern=r"^0x[0-9a-f]{1,64}$",
        title="Mask",
        description="Bits that are counted, the parity bit included; the first bit is the highest.",
        examples=['"0x3ffe000"'],
    )
    odd: bool = Field(
        title="Odd", description="true: the number of ones is odd.", examples=["false"]
    )


class WiegandReaderConfig(ReaderSection):
    """A Wiegand reader on two lines of the GPIO character device; needs the extra `readers`."""

    kind: Literal["wiegand"]
    chip: WiegandChip
    d0: ZerosLine
    d1: OnesLine
    pull: Literal["up", "external"] = Field(
        "external", title="Pull resistor", description="Resistor that holds the lines high."
    )
    bits: int = Field(
        26,
        ge=9,
        le=256,
        title="Card bits",
        description="Length of a card's frame. The parity of 26 (H10301), 34 (H10306) and 37 "
        "(H10304) is known.",
    )
    parity: tuple[ParityConfig, ...] | None = Field(
        None,
        max_length=8,
        title="Parity",
        description="Parity bits of another format, each with `mask` and `odd`. []: the format "
        "has none.",
        examples=['[{mask: "0x3ffe000", odd: false}, {mask: "0x1fff", odd: true}]'],
    )
    keypad_bits: Literal[4, 8] | None = Field(
        None,
        title="Keypad bits",
        description="Bits that the reader's keypad sends for each key. # enters the PIN, * "
        "clears it.",
        examples=["4"],
    )
    key_timeout_s: float = Field(
        5.0,
        gt=0,
        le=30,
        title="Key timeout",
        description="Pause after which an unfinished PIN is dropped.",
    )
    frame_gap_ms: float = Field(
        25.0,
        ge=3,
        le=500,
        title="Frame gap",
        description="Milliseconds of silence that end a frame. More than between two bits, less "
        "than between two keys.",
    )
    interval_min_us: float = Field(
        150.0,
        ge=1,
        le=2000,
        title="Minimum interval",
        description="Microseconds between two bits. A frame with a shorter interval is dropped.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> WiegandReaderConfig:
        if self.d0 == self.d1:
            raise ValueError(f"d0 and d1 are the same line: {self.d0}; write two lines")
        if self.parity is None and self.bits not in _STANDARD_BITS:
            raise ValueError(f"the parity of {self.bits} bits is not known; set `parity`")
        for parity in self.parity or ():
            if int(parity.mask, 16) >> self.bits:
                raise ValueError(
                    f"the mask {parity.mask} has more than {self.bits} bits; write a shorter mask"
                )
        return self


class HidReaderConfig(ReaderSection):
    """A USB reader that types digits and the enter key; needs the extra `hid`."""

    kind: Literal["hid"]
    path: str = Field(
        max_length=256,
        title="Device",
        description="Link of the device below /dev/input/by-id or /dev/input/by-path.",
        examples=["/dev/input/by-id/usb-ACME_Reader-event-kbd"],
    )
    reads: Literal["card", "pin"] = Field(
        "card", title="Reads", description="Meaning of the digits: a card's number, or a PIN."
    )
    key_timeout_s: float = Field(
        1.0,
        gt=0,
        le=30,
        title="Key timeout",
        description="Pause between two keys after which a read is dropped. Several seconds for a "
        "keypad.",
    )

    @field_validator("path")
    @classmethod
    def _is_stable(cls, path: str) -> str:
        if not path.startswith(_STABLE) or ".." in path or not path.isprintable():
            raise ValueError(
                f"expected a path below {' or '.join(_STABLE)}, found {path!r}: numbers of "
                "devices change at each start; `ls -l /dev/input/by-id` shows the link"
            )
        return path


ReaderConfig = Annotated[
    SimulatedReaderConfig | WiegandReaderConfig | HidReaderConfig | OsdpReaderConfig,
    Field(discriminator="kind"),
]
