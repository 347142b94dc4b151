"""The terminal's one YAML file: its models, defaults and the errors people see when it is wrong.

Relative paths are relative to the file's own folder. Adapters never see these models, only plain arguments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from edge.errors import ConfigError, describe_validation


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_AnySection = TypeVar("_AnySection", bound=_Section)


class ReplayCamera(_Section):
    """Recorded frames in place of a camera."""

    kind: Literal["replay"]
    path: Path = Field(description="a folder of pictures, a GIF or a video")
    fps: float = Field(15.0, gt=0, le=240)
    loop: bool = False
    lockstep: bool = Field(False, description="wait until each frame was used, instead of dropping late ones")


class OpencvCamera(_Section):
    """A camera or stream that OpenCV can open."""

    kind: Literal["opencv"]
    source: int | str = Field(description="number of a V4L2 device, an RTSP address or a file")
    width: int | None = Field(None, ge=160, le=4096)
    height: int | None = Field(None, ge=120, le=4096)
    accept_network_injection: bool = Field(
        False, description="must be true for a network address: who can write to that stream can show any face"
    )


Camera = Annotated[ReplayCamera | OpencvCamera, Field(discriminator="kind")]


class OrtEngine(_Section):
    """ONNX Runtime on the CPU."""

    kind: Literal["ort"] = "ort"
    threads: int = Field(1, ge=1, le=64)
    precision: Literal["fp32", "int8"] = Field("fp32", description="of the embedder")


class TrtEngine(_Section):
    """TensorRT on an NVIDIA GPU: engines that mfsa-build-engine built on this device."""

    kind: Literal["trt"]
    precision: Literal["fp32", "fp16", "int8"] = Field("fp16", description="of the embedder")


class AutoEngine(_Section):
    """TensorRT, and ONNX Runtime where TensorRT cannot be used and this section allows it."""

    kind: Literal["auto"]
    precision: Literal["fp32", "fp16", "int8"] = Field("fp16", description="of the embedder in TensorRT; ONNX Runtime runs fp32")
    allow_ort: bool = Field(description="whether a slower engine may take TensorRT's place; log and doctor say so")
    threads: int = Field(1, ge=1, le=64, description="of ONNX Runtime")


EngineSection = Annotated[OrtEngine | TrtEngine | AutoEngine, Field(discriminator="kind")]


class Detector(_Section):
    size: Literal["640x480", "320x256"] = "640x480"
    min_score: float = Field(0.7, gt=0, lt=1)
    min_face_px: int = Field(60, ge=20, description="narrower faces are told to come closer")
    zone: tuple[float, float, float, float] = Field(
        (0.0, 0.0, 1.0, 1.0),
        description="left, top, right, bottom as parts of the picture; faces whose centre is outside do not count",
    )
    nearest_only: bool = Field(False, description="only the largest face counts: for lanes where people queue")
    faces_a_frame: int = Field(2, ge=1, le=16, description="how many are embedded at most, so that the load stays flat in a crowd")

    @field_validator("zone")
    @classmethod
    def _zone(cls, zone: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = zone
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise ValueError("expected left < right and top < bottom, each from 0 to 1")
        return zone


class Policy(_Section):
    """The bundle's thresholds belong to its model; here they can only be raised."""

    votes: int = Field(3, ge=1, le=50, description="frames that must agree before the door opens")
    votes_masked: int = Field(5, ge=1, le=50, description="where a mask is worn, or may be")
    window_s: float = Field(1.5, gt=0, le=5.0, description="within this time")
    agreement: float = Field(0.66, ge=0.5, le=1, description="share of the frames' weight that must name the same person")
    limit_s: float = Field(10.0, gt=0, le=120, description="after which a face is unknown for the time of `cooldown_s`")
    margin: float = Field(0.05, ge=0, le=1, description="lead over the best other subject")
    cooldown_s: float = Field(4.0, ge=0, le=60, description="no second grant for one subject within this time")
    mask: Literal["ignore", "require", "require-soft", "forbid", "ask"] = Field(
        "ignore", description="require: only with a mask; require-soft: recorded; forbid: only without; ask to lower it in between"
    )
    span: float = Field(0.1, ge=0, le=0.5, description="scores so far from the threshold lie in between: `ask`, and a challenge")
    threshold_unmasked: float | None = Field(None, gt=-1, lt=1)
    threshold_masked: float | None = Field(None, gt=-1, lt=1)


class NoLiveness(_Section):
    """No presentation attack detection: a photo of an enrolled person opens the door."""

    kind: Literal["none"]


def _pin(value: int | str) -> int | str:
    if isinstance(value, int) and not 0 <= value <= 512:
        raise ValueError("expected a line number from 0 to 512 or a name such as BOARD7")
    return value


class SimulatedRelay(_Section):
    kind: Literal["simulated"] = "simulated"


class GpioRelay(_Section):
    """A relay on a pin, by gpiozero."""

    kind: Literal["gpio"]
    pin: Annotated[int | str, AfterValidator(_pin)]
    active_high: bool = True
    factory: Literal["jetson", "lgpio", "native", "mock"] = Field(description="gpiozero's pin factory; mock moves nothing")


class FileRelay(_Section):
    """A file that holds 1 while the lock's relay is energised, else 0, in place of a wire."""

    kind: Literal["file"]
    path: Path


Relay = Annotated[SimulatedRelay | FileRelay | GpioRelay, Field(discriminator="kind")]


class FileInput(_Section):
    """A file with 1 or 0 in it, in place of a wire."""

    kind: Literal["file"]
    path: Path
    settle_ms: int = Field(0, ge=0, le=1000)


class GpioInput(_Section):
    """A wire to a pin, by gpiozero. External resistors hold its rest level: a Tegra ignores what software asks of pulls."""

    kind: Literal["gpio"]
    pin: Annotated[int | str, AfterValidator(_pin)]
    active_high: bool = Field(description="whether the wire is high when the contact is open, the button pressed, the fire there")
    pull: Literal["up", "down", "external"] = "external"
    settle_ms: int = Field(30, ge=0, le=1000, description="a level counts once it has stayed so long")
    factory: Literal["jetson", "lgpio", "native", "mock"]


_Wired = Annotated[FileInput | GpioInput, Field(discriminator="kind")]


class Inputs(_Section):
    """What is wired to the door. The exit button and fire must open the lock by wire too: software only supplements it."""

    contact: _Wired | None = Field(None, description="active: the door stands open")
    exit: _Wired | None = Field(None, description="the button beside the door (REX)")
    fire: _Wired | None = None
    tamper: _Wired | None = Field(None, description="active: the terminal's case is open")


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOLIDAY = "holiday"


def parse_days(days: Sequence[str]) -> frozenset[str]:
    """Names as in DAYS, ranges such as `mon-fri`, and `holiday`; raises ValueError."""
    found: set[str] = set()
    for part in days:
        first, dash, last = part.partition("-")
        if part == HOLIDAY or part in DAYS:
            found.add(part)
        elif dash and first in DAYS and last in DAYS and DAYS.index(first) <= DAYS.index(last):
            found.update(DAYS[DAYS.index(first) : DAYS.index(last) + 1])
        else:
            raise ValueError(f"expected days such as mon, mon-fri or holiday, found {part!r}")
    return frozenset(found)


_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _on_the_clock(value: object) -> time:
    """Only text: YAML reads 17:30 without quotation marks as the number 1050, and a time zone belongs to the schedule."""
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError('expected hours and minutes in quotation marks, such as "17:30"')
    return time.fromisoformat(value)


_ClockTime = Annotated[time, BeforeValidator(_on_the_clock)]


class Hours(_Section):
    """From a time of the day to another, on some days."""

    days: tuple[str, ...] = Field(min_length=1, description="such as [mon-fri], [sat], [holiday]")
    begin: _ClockTime
    end: _ClockTime = Field(description="on the next day where it is not after `begin`")

    @field_validator("days")
    @classmethod
    def _days(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        parse_days(days)
        return days


class Span(Hours):
    """When the door stands open, or stays locked for everybody but operators, exit button and fire."""

    mode: Literal["open", "locked"]


class LayeredLiveness(_Section):
    """Presentation attack detection in layers that must all agree. None of it is certified; docs/decision.md says what it stops."""

    kind: Literal["layers"]
    stillness: bool = Field(True, description="refuses frozen and looped streams, and faces that move as only a photo does")
    screen: bool = Field(True, description="refuses faces in a frame of straight edges, or in a pattern of pixels")
    passive: bool = Field(False, description="the network `liveness.onnx` of the bundle")
    challenge: Literal["never", "unsure", "hours", "always"] = Field(
        "never", description="ask to turn or to come closer: where the score lies in between, in `challenge_hours`, or everybody"
    )
    challenge_hours: tuple[Hours, ...] = Field((), description="by the time zone and holidays of `door.schedule`")

    @model_validator(mode="after")
    def _some(self) -> LayeredLiveness:
        if not (self.stillness or self.screen or self.passive) and self.challenge == "never":
            raise ValueError("no layer is on; use {kind: none} and know what that means")
        if (self.challenge == "hours") != bool(self.challenge_hours):
            raise ValueError("`challenge: hours` and `challenge_hours` belong together; name both or neither")
        return self


Liveness = Annotated[NoLiveness | LayeredLiveness, Field(discriminator="kind")]


class Schedule(_Section):
    time_zone: str = Field("UTC", description="such as Europe/Berlin")
    holidays: tuple[date, ...] = ()
    spans: tuple[Span, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: `Europe` alone is a folder
            raise ValueError("no such time zone on this machine; name one such as Europe/Berlin") from error
        return name


class Door(_Section):
    relay: Relay = SimulatedRelay()
    alarm: Relay | None = Field(None, description="a second relay: forced or held open, tamper")
    inputs: Inputs = Inputs()
    pulse_s: float = Field(3.0, gt=0, le=60, description="how long one grant keeps the lock open")
    extended_s: float = Field(10.0, gt=0, le=120, description="for people who need longer; never shorter than `pulse_s`")
    exit_s: float = Field(3.0, gt=0, le=60, description="how long the exit button opens")
    held_open_s: float = Field(30.0, gt=0, le=3600, description="a door that stands open longer is an alarm")
    busy_s: float = Field(
        120.0, ge=120, le=3600, description="open so long by grants alone: an alarm, and nobody is let in until it has locked"
    )
    relock: Literal["pulse", "opened", "closed"] = Field(
        "pulse", description="when the lock closes again: after its time, or before it as soon as the contact says so"
    )
    schedule: Schedule = Schedule()
    state: Path | None = Field(None, description="folder of the door's record; default: the terminal's `state`")
    socket: Path | None = Field(None, description="default: door.sock in that folder")
    clients: tuple[str, ...] = Field((), description="accounts beside the door's own that may ask it to open")
    operators: tuple[str, ...] = Field(
        (), description="accounts beside root and the door's own that may unlock, hold, lock down and reset"
    )


class Record(_Section):
    unwritable: Literal["refuse", "open"] = Field(
        "refuse", description="whether people are let in while the disk takes no record of it; what was lost is counted"
    )
    pictures: int = Field(0, ge=0, le=100_000, description="how many of the newest evidence pictures to keep; 0: none")


# In the folder of the door's socket: on a terminal that is no disk, which could be full or read-only.
DOOR_LOCK, DOOR_WIRING = "door.lock", "wiring.json"


class Terminal(_Section):
    """The whole file."""

    terminal: str = Field("terminal", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    bundle: Path = Field(description="folder made by mfsa-bundle")
    state: Path = Field(Path("state"), description="folder of gallery, key, records and socket")
    key: Path | None = Field(None, description="the gallery's key; default: gallery.key in `state`")
    camera: Camera
    engine: EngineSection = OrtEngine()
    detector: Detector = Detector()
    policy: Policy = Policy()
    liveness: Liveness = Field(description="must be written, also where it is {kind: none}")
    door: Door = Door()
    record: Record = Record()

    @property
    def gallery_path(self) -> Path:
        return self.state / "gallery.db"

    @property
    def key_path(self) -> Path:
        return self.key or self.state / "gallery.key"

    @property
    def decisions_path(self) -> Path:
        return self.state / "decisions.jsonl"

    @property
    def pictures_path(self) -> Path:
        return self.state / "pictures"

    @property
    def _door_state(self) -> Path:
        return self.door.state or self.state

    @property
    def door_record_path(self) -> Path:
        return self._door_state / "door.jsonl"

    @property
    def door_lock_path(self) -> Path:
        return self.socket_path.parent / DOOR_LOCK

    @property
    def door_wiring_path(self) -> Path:
        """Which outputs the door process opened, for `edge-door rest`."""
        return self.socket_path.parent / DOOR_WIRING

    @property
    def daemon_lock_path(self) -> Path:
        return self.state / "daemon.lock"

    @property
    def socket_path(self) -> Path:
        return self.door.socket or self._door_state / "door.sock"


_UNIX_SOCKET_PATH_MAX = 107  # bytes, sun_path of Linux less its end mark


def load_config(path: Path) -> Terminal:
    """The terminal's config with absolute paths; raises ConfigError that names every wrong key at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot read the configuration ({why}); see systemd/terminal.yaml for an example") from error
    try:
        fields = yaml.safe_load(text)
    except RecursionError as error:
        raise ConfigError(f"{path}: not valid YAML: nested too deeply") from error
    except Exception as error:  # YAMLError, and whatever a date or number that is none makes its parser raise
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: expected keys such as `camera:` and `bundle:`, found {type(fields).__name__}")
    try:
        config = Terminal.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_validation(error)}") from error
    config = _absolute(config, path.resolve().parent)
    if len(bytes(config.socket_path)) > _UNIX_SOCKET_PATH_MAX:
        raise ConfigError(
            f"{path}: door.socket: {config.socket_path} is longer than the {_UNIX_SOCKET_PATH_MAX} bytes a socket may have; "
            "name a shorter path"
        )
    if (
        isinstance(config.camera, OpencvCamera)
        and "://" in str(config.camera.source)
        and not config.camera.accept_network_injection
    ):
        raise ConfigError(
            f"{path}: camera.accept_network_injection: must be true for a network camera: "
            "whoever can write to that stream can show the door any face"
        )
    return config


def demand_same(old: Terminal, new: Terminal, keys: Sequence[str]) -> None:
    """Raises ConfigError that names those of some dotted keys, such as `door.relay`, whose values differ."""

    def value(config: BaseModel, key: str) -> object:
        first, _, rest = key.partition(".")
        found = getattr(config, first)
        return value(found, rest) if rest else found

    if changed := [key for key in keys if value(old, key) != value(new, key)]:
        raise ConfigError(f"{', '.join(changed)}: another value needs a restart")


def _absolute(section: _AnySection, base: Path) -> _AnySection:
    """A section whose paths, and those of the sections in it, start at a folder."""
    changes: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changes[name] = base / value
        elif isinstance(value, _Section):
            changes[name] = _absolute(value, base)
    return section.model_copy(update=changes)
