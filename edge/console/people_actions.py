"""Changes of people by users: recorded in the console's log, then sent to edge-people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from edge.console.context import Console
from edge.console.enrollment import EnrollmentProgress
from edge.console.events import ConsoleEvent
from edge.console.permissions import client_address
from edge.console.problem_error import ProblemError
from edge.console.roles import Principal
from edge.people_protocol import (
    PHOTO_MAX,
    USER_MAX,
    DoneEvent,
    EnrollCameraRequest,
    EnrollPhotosRequest,
    PeopleRefusal,
    RemoveRequest,
    RightsBody,
    SetRightsRequest,
)

_Wanted = TypeVar("_Wanted", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Person to enroll."""

    name: str
    rights: RightsBody
    consent: str = ""
    replace: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PeopleActions:
    """Changes by one user. The methods raise ProblemError, RecordError, PeopleUnavailableError."""

    console: Console
    principal: Principal
    address: str

    @classmethod
    def of(cls, request: Request, console: Console, principal: Principal) -> PeopleActions:
        return cls(console, principal, client_address(request))

    async def enroll_photos(self, person: NewPerson, files: Sequence[UploadFile]) -> DoneEvent:
        """Enroll from photos; return the number of templates and the photos left out."""
        if not files:
            raise _invalid("choose at least one photo")
        photos, parts = [], []
        for file in files:
            photo, label = await file.read(PHOTO_MAX + 1), (file.filename or "photo")[-100:]
            if len(photo) > PHOTO_MAX:
                raise _invalid(f"{label}: larger than {PHOTO_MAX >> 20} MiB; use a smaller photo")
            photos.append(photo)
            parts.append({"name": label, "size": len(photo)})
        wanted = self._build(
            EnrollPhotosRequest, kind="enroll-photos", photos=parts, **_fields(person)
        )
        await self._record(ConsoleEvent.PERSON_ENROLLMENT, wanted.name)
        return await self.console.people.finish(wanted, b"".join(photos))

    async def enroll_camera(self, person: NewPerson, *, frontal_only: bool) -> EnrollmentProgress:
        """Start an enrollment from the camera."""
        wanted = self._build(
            EnrollCameraRequest, kind="enroll-camera", frontal_only=frontal_only, **_fields(person)
        )
        await self._record(ConsoleEvent.PERSON_ENROLLMENT, wanted.name)
        return await self.console.enrollments.start(wanted, self.principal.name)

    async def remove(self, name: str, reason: str) -> DoneEvent:
        """Erase a person from gallery and door."""
        wanted = self._build(RemoveRequest, kind="remove", name=name, reason=reason)
        await self._record(ConsoleEvent.PERSON_REMOVAL, wanted.name, reason=reason)
        return await self.console.people.finish(wanted)

    async def set_rights(self, name: str, reason: str, rights: RightsBody) -> DoneEvent:
        """Change the given rights of a person."""
        if not rights.given:
            raise ProblemError(HTTPStatus.CONFLICT, "no right is different; nothing was changed")
        wanted = self._build(
            SetRightsRequest, kind="set-rights", name=name, reason=reason, rights=rights.given
        )
        await self._record(ConsoleEvent.PERSON_RIGHTS, wanted.name, reason=reason)
        return await self.console.people.finish(wanted)

    async def picture(self, log: str, number: int) -> bytes:
        """Return the evidence picture of a decision (PNG)."""
        await self._record(ConsoleEvent.PICTURE_SHOWN, "", target=f"{log}:{number}")
        return await self.console.people.read_picture(self.principal.name, log, number)

    async def _record(self, event: ConsoleEvent, name: str, **fields: Any) -> None:
        """Record the request with its user before it is sent."""
        subject = {"subject": name} if name else {}
        append = partial(
            self.console.accounts.audit.append,
            event,
            self.principal.name,
            address=self.address,
            **subject,
            **fields,
        )
        await to_thread.run_sync(append)

    def _build(self, model: type[_Wanted], **fields: Any) -> _Wanted:
        try:
            return model(v=1, user=self.principal.name[:USER_MAX], **fields)
        except ValidationError as error:
            raise _invalid(describe_invalid(error)) from error


def _invalid(detail: str) -> ProblemError:
    code = PeopleRefusal.INVALID_REQUEST.value
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, code)


def describe_invalid(error: ValidationError) -> str:
    """Return what is wrong with the fields of a request."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    )


def _fields(person: NewPerson) -> dict[str, Any]:
    consent = {"consent": person.consent} if person.consent else {}
    return {
        "name": person.name,
        "rights": person.rights.given,
        "replace": person.replace,
        **consent,
    }
