"""OSDP lines: a reader of the door, and the panel whose reader the terminal is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.lane import ReaderSection
from edge.config.section import ConfigPath, Section

BaudRate = Literal[9600, 19200, 38400, 57600, 115200, 230400]


class OsdpLineConfig(Section):
    """Serial line with a secure channel. Default keys and install mode do not exist here."""

    device: ConfigPath = Field(
        title="Serial line",
        description="Device of the RS-485 adapter. Use a path below /dev/serial/by-id, which stays "
        "the same when adapters are added.",
        examples=["/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"],
    )
    baud_rate: BaudRate = Field(
        9600, title="Baud rate", description="Speed of the line in bits per second."
    )
    address: int = Field(
        0, ge=0, le=126, title="Address", description="OSDP address of the reader on the line."
    )
    key_file: ConfigPath = Field(
        title="Key file",
        description="File with the secure channel base key (SCBK) of the reader, 32 hexadecimal "
        "digits, readable for the door's account only. The default key SCBK-D and keys that can be "
        "guessed are refused.",
        examples=["/etc/mfsa-edge/osdp-entrance.key"],
    )


class OsdpReaderConfig(ReaderSection, OsdpLineConfig):
    """Reader on an RS-485 line; the terminal is its control panel."""

    kind: Literal["osdp"]
    pin_timeout_s: float = Field(
        5.0,
        gt=0,
        le=30,
        title="PIN timeout",
        description="Seconds after which an unfinished PIN is dropped.",
    )


class OsdpPeripheralConfig(OsdpLineConfig):
    """Line to an access control panel; the terminal is its reader, and the panel decides."""

    kind: Literal["osdp"]
    card_bits: Literal[26, 34, 37] = Field(
        26,
        title="Card bits",
        description="Length of the frame of a person's panel card that is a number only.",
    )
    facility: int = Field(
        0,
        ge=0,
        le=65535,
        title="Facility code",
        description="Facility code of a person's panel card that is a number only.",
    )
    switch_relay: bool = Field(
        False,
        title="Local relay",
        description="true: a grant of the panel also energises `door.relay` for a pulse. false: "
        "the panel owns the lock; fire, REX, operators and schedule still switch the relay.",
    )
    forward_cards: bool = Field(
        False,
        title="Forward cards",
        description="true: a card that belongs to no person of this door is reported to the panel "
        "as read. false: it is refused here.",
    )
    answer_s: float = Field(
        3.0,
        gt=0,
        le=30,
        title="Answer time",
        description="Seconds in which the panel must fetch a credential and answer by a light.",
    )
    granted_color: Literal["green", "blue", "white"] = Field(
        "green",
        title="Color of a grant",
        description="Color of the light by which the panel shows that access is granted.",
    )
    refused_color: Literal["red", "amber", "magenta"] = Field(
        "red",
        title="Color of a refusal",
        description="Color of the light by which the panel shows that access is refused.",
    )
