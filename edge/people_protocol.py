"""Messages of the socket of edge-people, version 1: docs/people-socket.md.

A client sends one request as a line of JSON, and the bytes of its photos. The answers are events,
a line of JSON each; the bytes of a picture follow its event. Then the connection is closed.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
)

from edge.access.rules.values import AuthMode
from edge.codes import Code
from edge.errors import GalleryError, MfsaError
from edge.names import NAME_MAX, check_name, is_name, is_printable, normalize_name
from edge.parsing import parse_json

VERSION = 1
REQUEST_MAX = 64 << 10  # bytes of a line
EVENT_MAX = 256 << 10  # bytes of a line
PICTURE_MAX = 8 << 20
PHOTOS_MAX, PHOTO_MAX, PHOTOS_BYTES_MAX = 12, 8 << 20, 24 << 20
TEXT_MAX, USER_MAX = 200, 64
_GROUPS_MAX, _USES_MAX = 64, 1_000_000

_Kind = TypeVar("_Kind")


class PeopleRefusal(Code):
    """Why a request was not done, other than a refused photo or person."""

    INVALID_REQUEST = "invalid-request", "the request is not valid"
    WRONG_ACCOUNT = "wrong-account", "this account may not change people"
    NOT_ENROLLED = "not-enrolled", "the person is not enrolled"
    NO_RECOGNISER = "no-recogniser", "the recogniser, whose camera is used, does not run"
    CAMERA_FAILED = "camera-failed", "the camera gives no pictures, or is in use"
    NO_PICTURE = "no-picture", "there is no evidence picture of this decision"
    REFUSED = "refused", "gallery, door or configuration refused the change"
    CANCELLED = "cancelled", "the enrollment was cancelled"
    INTERNAL = "internal-error", "an unexpected error; see the journal of edge-people"


class PeopleProtocolError(MfsaError):
    """A message of the socket is not valid."""

    def __init__(self, code: PeopleRefusal, message: str) -> None:
        super().__init__(message)
        self.code = code


def _printable(text: str) -> str:
    if not is_printable(text):
        raise ValueError("expected printable characters")
    return text


def _known_name(text: str) -> str:
    if not is_name(text):
        raise ValueError("expected the name of a person")
    return normalize_name(text)


def _new_name(text: str) -> str:
    try:
        check_name(text)
    except GalleryError as error:
        raise ValueError(str(error)) from error
    return normalize_name(text)


UserName = Annotated[
    str, StringConstraints(min_length=1, max_length=USER_MAX), AfterValidator(_printable)
]
Words = Annotated[
    str, StringConstraints(min_length=1, max_length=TEXT_MAX), AfterValidator(_printable)
]
KnownName = Annotated[str, Field(max_length=NAME_MAX), AfterValidator(_known_name)]
NewName = Annotated[str, Field(max_length=NAME_MAX), AfterValidator(_new_name)]


class PeopleMessage(BaseModel):
    """Message of the socket. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RightsBody(PeopleMessage):
    """Rights of a person. In a request, only the given ones change."""

    groups: tuple[KnownName, ...] = Field(
        (), max_length=_GROUPS_MAX, description="groups of the schedules"
    )
    valid_from: date | None = Field(None, description="first day; null: no limit")
    valid_until: date | None = Field(None, description="last day; null: no limit")
    extended: bool = Field(False, description="longer unlock time")
    max_uses: int | None = Field(None, ge=1, le=_USES_MAX, description="visits; null: no limit")
    mode: AuthMode | None = Field(None, description="null: by schedule")
    anti_passback_exempt: bool = Field(False, description="no anti-passback")

    @property
    def given(self) -> dict[str, object]:
        """The given rights, as the file of the door has them."""
        return self.model_dump(include=set(self.model_fields_set)) | (
            {"mode": self.mode.value} if self.mode is not None else {}
        )


class _Request(PeopleMessage):
    v: Literal[1]
    user: UserName = Field(description="user of the console, for the audit log")


class ListRequest(_Request):
    """List of all people."""

    kind: Literal["list"]


class _Enrollment(_Request):
    name: NewName
    rights: RightsBody = RightsBody()
    consent: Words | None = Field(None, description="place of the signed form")
    replace: bool = Field(False, description="replace the person's templates")


class EnrollCameraRequest(_Enrollment):
    """Enrollment from the camera of the recogniser."""

    kind: Literal["enroll-camera"]
    frontal_only: bool = Field(False, description="for people who cannot turn their head")


class PhotoPart(PeopleMessage):
    """Photo whose bytes follow the request."""

    name: Words
    size: int = Field(ge=1, le=PHOTO_MAX)


class EnrollPhotosRequest(_Enrollment):
    """Enrollment from photos, whose bytes follow in the same order."""

    kind: Literal["enroll-photos"]
    photos: tuple[PhotoPart, ...] = Field(min_length=1, max_length=PHOTOS_MAX)

    @field_validator("photos")
    @classmethod
    def _is_small(cls, photos: tuple[PhotoPart, ...]) -> tuple[PhotoPart, ...]:
        if (total := sum(photo.size for photo in photos)) > PHOTOS_BYTES_MAX:
            raise ValueError(f"expected photos of at most {PHOTOS_BYTES_MAX} bytes, found {total}")
        return photos


class RemoveRequest(_Request):
    """Removal of a person from gallery and door."""

    kind: Literal["remove"]
    name: KnownName
    reason: Words


class SetRightsRequest(_Request):
    """Change of the rights of an enrolled person."""

    kind: Literal["set-rights"]
    name: KnownName
    reason: Words
    rights: RightsBody


class PictureRequest(_Request):
    """Evidence picture of a decision."""

    kind: Literal["picture"]
    log: Annotated[str, Field(pattern=r"^decisions(-[A-Za-z0-9._-]{1,64})?$")]
    number: int = Field(ge=1, le=1 << 62)


PeopleRequest = (
    ListRequest
    | EnrollCameraRequest
    | EnrollPhotosRequest
    | RemoveRequest
    | SetRightsRequest
    | PictureRequest
)
_REQUEST: TypeAdapter[PeopleRequest] = TypeAdapter(
    Annotated[PeopleRequest, Field(discriminator="kind")]
)


class PersonEvent(PeopleMessage):
    """Person of a list."""

    event: Literal["person"] = "person"
    name: str
    templates: int
    consent_on: date | None = None
    erase_on: date | None = None
    rights: RightsBody
    cards: int
    has_pin: bool


class HintEvent(PeopleMessage):
    """Instruction for the person at the camera."""

    event: Literal["hint"] = "hint"
    code: str
    text: str
    pose: str = Field(description="requested pose; empty at the end")
    captured: int
    total: int


class WarningEvent(PeopleMessage):
    """Part of a request that could not be done, while the others were."""

    event: Literal["warning"] = "warning"
    text: str


class RefusedPhoto(PeopleMessage):
    """Photo that was refused or left out."""

    photo: str = Field(description="name of the photo")
    code: str = Field(description="code of the reason, see codes.md")
    text: str = Field(description="why, and what to do")


class PictureEvent(PeopleMessage):
    """Evidence picture, whose bytes (PNG) follow."""

    event: Literal["picture"] = "picture"
    size: int = Field(ge=1, le=PICTURE_MAX)


class DoneEvent(PeopleMessage):
    """End of a request that was done."""

    event: Literal["done"] = "done"
    templates: int = Field(0, description="stored, erased, or listed")
    left_out: tuple[RefusedPhoto, ...] = ()


class RefusedEvent(PeopleMessage):
    """End of a request that was refused; nothing was stored."""

    event: Literal["refused"] = "refused"
    code: str
    text: str
    photos: tuple[RefusedPhoto, ...] = ()


PeopleEvent = PersonEvent | HintEvent | WarningEvent | PictureEvent | DoneEvent | RefusedEvent
_EVENT: TypeAdapter[PeopleEvent] = TypeAdapter(Annotated[PeopleEvent, Field(discriminator="event")])


def encode(message: BaseModel) -> bytes:
    """Return the line of a message."""
    return message.model_dump_json(exclude_unset=isinstance(message, _Request)).encode() + b"\n"


def parse_request(line: bytes) -> PeopleRequest:
    """Return a request. Raises PeopleProtocolError."""
    return _parse(_REQUEST, line)


def parse_event(line: bytes) -> PeopleEvent:
    """Return an event. Raises PeopleProtocolError."""
    return _parse(_EVENT, line)


def _parse(kind: TypeAdapter[_Kind], line: bytes) -> _Kind:
    try:
        return parse_json(kind, line)
    except ValueError as error:
        raise PeopleProtocolError(PeopleRefusal.INVALID_REQUEST, str(error)) from error
