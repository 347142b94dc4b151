"""Messages of the recogniser's live socket, version 1: docs/live-socket.md.

A client sends `NEXT`. The answer is a header, a view as JSON and a picture as JPEG.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.errors import RecogniserError
from edge.parsing import parse_json

VERSION = 1
NEXT = b"+"
REPEAT_S = 1.0  # a request is answered at the latest after this time
STALL_S = 5.0  # a client that takes longer to read an answer or to send a request is disconnected
CLIENTS_MAX = 4

_MAGIC = b"LIVE"
_HEADER = struct.Struct("<4sBIQ")  # magic, version, bytes of JSON, bytes of JPEG
HEADER_SIZE = _HEADER.size
_JSON_MAX, _JPEG_MAX = 1 << 20, 1 << 24

Camera = Literal["ready", "lost", "enrollment"]
DoorState = Literal["unlocked", "refused", "waiting"]


class _Message(BaseModel):
    """Part of a message. Unknown keys are ignored: a newer server may send more."""

    model_config = ConfigDict(frozen=True)


class LiveFace(_Message):
    """Face in the zone."""

    box: tuple[float, float, float, float] = Field(
        description="left, top, right and bottom as fractions of the picture, 0 to 1"
    )
    track: int = Field(description="number of the person while they are in view")
    reason: str = Field(description="reason of the decision, see codes.md")
    progress: float = Field(ge=0, le=1, description="share of the votes that a grant needs")
    verdict: Literal["pending", "grant", "refused", "unknown"] = Field(
        description="verdict of the decision"
    )
    nearest: bool = Field(description="true for the widest face, whose reason is to be shown")


class LiveDoorAnswer(_Message):
    """Answer of the door to the latest request of a shown face."""

    track: int = Field(description="face that requested")
    state: DoorState = Field(description="state of the request")
    reason: str = Field(
        description="refusal, or what is missing; empty if unlocked; `unreachable`: no answer"
    )
    missing: tuple[str, ...] = Field(
        description="missing factors while waiting: card, pin, face, panel; empty: a second person"
    )
    at: float = Field(description="monotonic seconds of the answer")
    until: float | None = Field(description="monotonic seconds until which the request waits")


class LiveHistogram(_Message):
    """Numbers of values by size; `counts` has one more entry, for values above the last edge."""

    edges: tuple[float, ...] = Field(description="upper limits of the buckets in seconds")
    counts: tuple[int, ...] = Field(description="values in each bucket, not cumulative")
    sum: float = Field(description="sum of the values in seconds")


class LiveStatistics(_Message):
    """Counters since the start of the recogniser."""

    started: float = Field(description="Unix seconds of the start")
    frames: int = Field(description="frames that were taken from the camera")
    dropped: int = Field(description="frames that were replaced by a newer one, or too old")
    faces: int = Field(description="faces in frames; a person counts once for each frame")
    decision_s: LiveHistogram = Field(
        description="from the exposure to the decision, one value for each decided face"
    )
    answer_s: LiveHistogram = Field(
        description="from the exposure to the answer of the door, one value for each request"
    )
    engine: str = Field(description="engine and precision")
    model: str = Field(description="first 12 digits of the model's digest")
    subjects: int = Field(description="people in the gallery")
    templates: int = Field(description="templates in the gallery")
    supported_templates: int = Field(description="templates that the model supports")


class LiveView(_Message):
    """State of the recogniser at one moment."""

    at: float = Field(description="monotonic seconds of the exposure, else of the change")
    wall: float = Field(description="Unix seconds of the same moment")
    number: int = Field(description="number of the frame; -1 before the first one")
    width: int = Field(description="width of the picture in pixels; 0: no picture")
    height: int = Field(description="height of the picture in pixels; 0: no picture")
    camera: Camera = Field(description="state of the camera")
    faces: tuple[LiveFace, ...] = Field(description="faces in the zone")
    door: LiveDoorAnswer | None = Field(description="null: no request of a shown face")
    stats: LiveStatistics = Field(description="counters for metrics")


@dataclass(frozen=True, slots=True)
class LiveSizes:
    """Sizes of the two parts after a header, in bytes."""

    view: int
    picture: int


def encode_view(view: LiveView) -> bytes:
    """Return a view as JSON."""
    return view.model_dump_json().encode()


def encode_header(view: bytes, picture: bytes) -> bytes:
    """Return the header of a message with these two parts."""
    return _HEADER.pack(_MAGIC, VERSION, len(view), len(picture))


def parse_header(header: bytes) -> LiveSizes:
    """Return the sizes of the parts that follow. Raises RecogniserError."""
    magic, version, view, picture = _HEADER.unpack(header)
    if magic != _MAGIC or version != VERSION:
        raise RecogniserError(
            f"live socket: expected protocol version {VERSION}, found {bytes(header[:5])!r}; "
            "run both processes from one installation"
        )
    if view > _JSON_MAX or picture > _JPEG_MAX:
        raise RecogniserError(
            f"live socket: a message of {view} and {picture} bytes is larger than "
            f"{_JSON_MAX} and {_JPEG_MAX}; run both processes from one installation"
        )
    return LiveSizes(view, picture)


def parse_view(content: bytes) -> LiveView:
    """Return a view. Raises RecogniserError."""
    try:
        return parse_json(LiveView, content)
    except ValueError as error:
        raise RecogniserError(f"live socket: not a valid view: {error}") from error
