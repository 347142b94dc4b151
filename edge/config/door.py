"""Relay, inputs, times and accounts of the door process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge.config.lane import DEFAULT_DOOR, Label
from edge.config.panel import PanelConfig
from edge.config.readers import ReaderConfig
from edge.config.relay import Pin, PinFactory, RelayConfig, SimulatedRelayConfig
from edge.config.schedule import ScheduleConfig
from edge.config.section import ConfigPath, Section, restart
from edge.config.signals import SignalConfig

_RESTART = restart("door")


class FileInputConfig(Section):
    """A file that holds 1 (active) or 0, instead of a wire."""

    kind: Literal["file"]
    path: ConfigPath = Field(
        title="File", description="Path of the file.", examples=["/run/mfsa-door/contact"]
    )
    settle_ms: int = Field(
        0,
        ge=0,
        le=1000,
        title="Debounce time",
        description="Milliseconds for which a level must be stable.",
    )


class GpioInputConfig(Section):
    """A pin, read by gpiozero. A Tegra ignores pull settings: use external resistors."""

    kind: Literal["gpio"]
    pin: Pin = Field(
        title="Pin",
        description="Header pin such as BOARD13, or a line number.",
        examples=["BOARD13"],
    )
    active_high: bool = Field(
        title="Active level",
        description="true: the wire is high while the contact is open, the button is pressed or "
        "the alarm is on.",
        examples=["true"],
    )
    pull: Literal["up", "down", "external"] = Field(
        "external", title="Pull resistor", description="Resistor that holds the inactive level."
    )
    settle_ms: int = Field(
        30,
        ge=0,
        le=1000,
        title="Debounce time",
        description="Milliseconds for which a level must be stable.",
    )
    factory: PinFactory = Field(
        title="Pin factory", description="As for the relay.", examples=["jetson"]
    )


_Input = Annotated[FileInputConfig | GpioInputConfig, Field(discriminator="kind")]


class InputsConfig(Section):
    """Inputs of the door. Wire REX and fire to the lock as well: software only supplements it."""

    contact: _Input | None = Field(
        None,
        title="Door contact",
        description="Active while the door is open.",
        examples=["{kind: gpio, pin: BOARD13, active_high: true, factory: jetson}"],
    )
    rex: _Input | None = Field(
        None,
        title="Request to exit (REX)",
        description="Button on the inside, active while it is pressed. Unlocks the door.",
        examples=["{kind: gpio, pin: BOARD15, active_high: false, factory: jetson}"],
    )
    fire: _Input | None = Field(
        None,
        title="Fire alarm",
        description="Active during a fire alarm. The door stays unlocked until `edge-door "
        "reset-fire`.",
        examples=["{kind: gpio, pin: BOARD16, active_high: true, factory: jetson}"],
    )
    tamper: _Input | None = Field(
        None,
        title="Tamper contact",
        description="Active while the case is open. Grants are refused until `edge-door "
        "reset-tamper`.",
        examples=["{kind: gpio, pin: BOARD18, active_high: true, factory: jetson}"],
    )

    passage: _Input | None = Field(
        None,
        title="Passage sensor",
        description="Active while a person passes, for lanes with `passage: sensor`.",
        examples=["{kind: gpio, pin: BOARD22, active_high: true, factory: jetson}"],
    )
    mantrap: _Input | None = Field(
        None,
        title="Other door of a mantrap",
        description="Active while the other door is unlocked or open, for `access.interlock`.",
        examples=["{kind: gpio, pin: BOARD24, active_high: true, factory: jetson}"],
    )


class DoorConfig(Section):
    """The door process."""

    name: Label = Field(
        DEFAULT_DOOR,
        title="Name",
        description="Name of the door that this process drives. Each door of a terminal has its "
        "own process and configuration file.",
        examples=["left"],
        json_schema_extra=restart("recogniser", "door"),
    )
    relay: RelayConfig = Field(
        SimulatedRelayConfig(),
        title="Relay",
        description="Output that releases the lock. Energised: unlocked.",
        json_schema_extra=_RESTART,
    )
    alarm: RelayConfig | None = Field(
        None,
        title="Alarm relay",
        description="Second relay, energised while there is an alarm.",
        examples=["{kind: gpio, pin: BOARD11, factory: jetson}"],
        json_schema_extra=_RESTART,
    )
    signals: tuple[SignalConfig, ...] = Field(
        (),
        max_length=8,
        title="Signals",
        description="LEDs and buzzers that show the state of requests at terminals without a "
        "screen. Patterns: docs/wiring.md.",
        examples=["[{kind: led, output: {kind: gpio, pin: BOARD29, factory: jetson}}]"],
        json_schema_extra=_RESTART,
    )
    inputs: InputsConfig = Field(
        InputsConfig(),
        title="Inputs",
        description="Door contact, REX, fire alarm and tamper contact.",
        json_schema_extra=_RESTART,
    )
    readers: tuple[ReaderConfig, ...] = Field(
        (),
        max_length=8,
        title="Readers",
        description="Card and PIN readers. Kinds: simulated, wiegand, hid, osdp.",
        examples=[
            "[{kind: wiegand, name: entry, chip: /dev/gpiochip0, d0: 144, d1: 112, keypad_bits: 4}]"
        ],
        json_schema_extra=_RESTART,
    )
    panel: PanelConfig | None = Field(
        None,
        title="Access control panel",
        description="Panel whose reader the terminal is: the terminal reports recognised people, "
        "the panel decides and owns the lock. Not set: this terminal decides.",
        examples=[
            "{kind: osdp, device: /dev/serial/by-id/usb-FTDI-if00-port0, address: 1, "
            "key_file: /etc/mfsa-edge/osdp-panel.key}"
        ],
        json_schema_extra=_RESTART,
    )
    pulse_s: float = Field(
        3.0,
        gt=0,
        le=60,
        title="Pulse",
        description="Seconds for which a grant unlocks the door.",
    )
    extended_pulse_s: float = Field(
        10.0,
        gt=0,
        le=120,
        title="Extended pulse",
        description="Seconds for which a grant unlocks the door for people enrolled with "
        "--extended. `pulse_s` applies if it is longer.",
    )
    rex_pulse_s: float = Field(
        3.0,
        gt=0,
        le=60,
        title="REX pulse",
        description="Seconds for which the REX button unlocks the door.",
    )
    held_open_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        title="Held open",
        description="Seconds after which an open door raises the alarm `held-open`, and a pressed "
        "REX button the alarm `rex-stuck`.",
    )
    max_grant_unlock_s: float = Field(
        120.0,
        ge=120,
        le=3600,
        title="Maximum unlock time",
        description="Seconds for which successive grants may keep the door unlocked. After this "
        "time an alarm is raised and grants are refused until the door has locked.",
    )
    alarm_on_duress: bool = Field(
        False,
        title="Alarm on duress",
        description="true: a duress PIN energises the alarm relay. false: its alarm is silent, "
        "only operators see it.",
    )
    relock: Literal["timeout", "on_open", "on_close", "on_passage"] = Field(
        "timeout",
        title="Relock",
        description="Time of locking after an unlock. timeout: at the end of the pulse. on_open, "
        "on_close: when the door contact reports open or closed. on_passage, for turnstiles: when "
        "the passage sensor has reported a person for each grant; exit button and operators unlock "
        "for the pulse. At the latest at the end of the pulse.",
    )
    schedule: ScheduleConfig = Field(
        ScheduleConfig(),
        title="Schedule",
        description="Times of day at which the door is unlocked for all people, or locked for "
        "grants.",
    )
    people_key: ConfigPath | None = Field(
        None,
        title="Key of the credentials",
        description="File of the key of cards and PINs, readable for the door's account only. "
        "Made with the first person. Not set: people.key in the door's state folder.",
        examples=["/etc/mfsa-edge/people.key"],
        json_schema_extra=_RESTART,
    )
    state: ConfigPath | None = Field(
        None,
        title="State folder",
        description="Folder of the door's audit log, of its people and of the zones. The log of a "
        "door with a `name` is in doors/NAME. Not set: the top-level `state`.",
        examples=["/var/lib/mfsa-door"],
        json_schema_extra=restart("recogniser", "door"),
    )
    socket: ConfigPath | None = Field(
        None,
        title="Socket",
        description="Unix socket for grants and operator commands. Not set: door.sock in the "
        "door's state folder. With a `name`: in a folder NAME next to this file, or in doors/NAME.",
        examples=["/run/mfsa-door/door.sock"],
        json_schema_extra=restart("recogniser", "door"),
    )
    clients: tuple[str, ...] = Field(
        (),
        title="Clients",
        description="Accounts that may request grants, in addition to root, the operators and the "
        "account of the door process.",
        examples=["[mfsa-edge]"],
    )
    operators: tuple[str, ...] = Field(
        (),
        title="Operators",
        description="Accounts that may use the operator commands of edge-door (unlock, hold, "
        "lockdown, release, resets), in addition to root and the account of the door "
        "process.",
        examples=["[guard]"],
    )

    @property
    def outputs(self) -> dict[str, RelayConfig]:
        """Relays and signals with their keys."""
        relays = {"door.relay": self.relay}
        if self.alarm is not None:
            relays["door.alarm"] = self.alarm
        signals = {f"door.signals.{i}.output": one.output for i, one in enumerate(self.signals)}
        return relays | signals

    @field_validator("readers")
    @classmethod
    def _names_differ(cls, readers: tuple[ReaderConfig, ...]) -> tuple[ReaderConfig, ...]:
        names = [reader.name for reader in readers]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two readers have the name {repeated[0]}; write another name")
        return readers

    @model_validator(mode="after")
    def _has_passage_sensor(self) -> DoorConfig:
        if self.relock == "on_passage" and self.inputs.passage is None:
            raise ValueError(
                "`relock: on_passage` needs a passage sensor; set `inputs.passage`, and "
                "`passage: sensor` in the lane"
            )
        return self
