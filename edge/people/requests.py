"""Requests of edge-people: list, enrollment, removal, rights and evidence pictures."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from edge.audit.locations import all_log_locations
from edge.config import TerminalConfig
from edge.errors import PhotoError, RecordError
from edge.names import name_key
from edge.people.author import ChangeAuthor
from edge.people.changes import change_person, open_existing, remove_people
from edge.people.connection import ClientConnection, ClientGoneError
from edge.people.enrollment import EnrollmentContext, EnrollmentOptions, open_context
from edge.people.rights import announce_change, change_rights, read_entries
from edge.people_protocol import (
    DoneEvent,
    EnrollCameraRequest,
    EnrollPhotosRequest,
    HintEvent,
    ListRequest,
    PeopleProtocolError,
    PeopleRefusal,
    PeopleRequest,
    PersonEvent,
    PictureEvent,
    PictureRequest,
    RefusedEvent,
    RefusedPhoto,
    RemoveRequest,
    RightsBody,
    SetRightsRequest,
    WarningEvent,
)

if TYPE_CHECKING:
    from edge.gallery.enrollment.photos import FaceSample, Refusal

_Enrollment = EnrollCameraRequest | EnrollPhotosRequest


class RequestExecutor:
    """Executes one request of a client, as root or as the owner of the gallery."""

    def __init__(self, config: TerminalConfig, client: ClientConnection, account: str) -> None:
        """`account`: verified account of the client."""
        self._config, self._client, self._account = config, client, account

    def execute(self, request: PeopleRequest) -> DoneEvent | RefusedEvent:
        """Execute a request; raises MfsaError if it is refused as a whole."""
        if isinstance(request, ListRequest):
            return self._list()
        if isinstance(request, EnrollCameraRequest):
            return self._enroll(request, partial(self._capture, request))
        if isinstance(request, EnrollPhotosRequest):
            photos = [(one.name, self._client.read_bytes(one.size)) for one in request.photos]
            return self._enroll(request, partial(_take_photos, photos))
        if isinstance(request, RemoveRequest):
            return self._remove(request)
        if isinstance(request, SetRightsRequest):
            return self._set_rights(request)
        return self._send_picture(request)

    def _author(self, user: str, reason: str) -> ChangeAuthor:
        def warn(text: str) -> None:
            # A change that has begun in the gallery is completed at the door without a client.
            with contextlib.suppress(ClientGoneError):
                self._client.send(WarningEvent(text=text))

        return ChangeAuthor(f"{reason} (edge-people for {self._account})", warn, user)

    def _list(self) -> DoneEvent:
        from edge.gallery.key import has_gallery

        entries = read_entries(self._config)
        if not has_gallery(self._config):
            return DoneEvent()
        with open_existing(self._config) as opened:
            subjects = opened.store.read_subjects()
        for subject in subjects:
            entry, record = entries.get(name_key(subject.name)), subject.record
            self._client.send(
                PersonEvent(
                    name=subject.name,
                    templates=len(subject.templates),
                    consent_on=record.consent.given if record.consent else None,
                    erase_on=record.erase_on,
                    rights=RightsBody() if entry is None else RightsBody(**asdict(entry.rights)),
                    cards=0 if entry is None else len(entry.cards),
                    has_pin=entry is not None and entry.pin is not None,
                )
            )
        return DoneEvent(templates=sum(len(subject.templates) for subject in subjects))

    def _enroll(
        self, request: _Enrollment, take: Callable[[EnrollmentContext], Samples]
    ) -> DoneEvent | RefusedEvent:
        """Enroll a person completely or not at all; `take` returns samples and refusals."""
        from edge.gallery.enrollment.attributes import SubjectAttributes

        author = self._author(request.user, "enrollment")
        rights, attributes = request.rights.given, SubjectAttributes(consent=request.consent)
        if not rights:  # else the change of the rights is announced
            announce_change(self._config, [request.name], author)
        options = EnrollmentOptions(
            account=f"{request.user} ({self._account})", writes_dates=request.consent is not None
        )
        with (
            change_rights(self._config, {request.name: rights}, author) as done,
            open_context(options, self._config) as context,
        ):
            enroller = context.enroller
            enroller.check_attributes(request.name, attributes)
            samples, refused = take(context)
            if refused:
                return _refusal(refused)
            self._client.check_open()  # from here on the enrollment is not cancelled
            result = enroller.enroll(
                request.name, samples, attributes, replace=request.replace, min_photos=1
            )
            done.add(request.name)
        return DoneEvent(templates=result.stored, left_out=_photos(result.left_out))

    def _capture(self, request: EnrollCameraRequest, context: EnrollmentContext) -> Samples:
        from edge.gallery.enrollment.pose_guide import FRONTAL_ONLY, POSES, PoseGuide, hint_code
        from edge.people.capture import capture_poses, open_shared_camera

        camera = open_shared_camera(self._config)
        if camera is None:
            raise PeopleProtocolError(
                PeopleRefusal.NO_RECOGNISER,
                "edge-daemon does not run: its camera is used; start it, or enroll from photos",
            )
        poses = FRONTAL_ONLY if request.frontal_only else POSES
        guide = PoseGuide(poses, began_at=time.monotonic())
        shown: list[HintEvent] = []

        def show(words: str) -> None:
            self._client.check_open()
            hint = HintEvent(
                code=hint_code(words),
                text=words,
                pose=guide.target.name if guide.target else "",
                captured=len(guide.captured),
                total=guide.total,
            )
            if shown[-1:] != [hint]:
                shown[:] = [hint]
                self._client.send(hint)

        return capture_poses(camera, guide, context, show), []

    def _remove(self, request: RemoveRequest) -> DoneEvent:
        erased: list[int] = []
        author = self._author(request.user, request.reason)
        remove_people(self._config, [request.name], author, lambda _, count: erased.append(count))
        return DoneEvent(templates=sum(erased))

    def _set_rights(self, request: SetRightsRequest) -> DoneEvent:
        if not request.rights.given:
            raise PeopleProtocolError(PeopleRefusal.INVALID_REQUEST, "rights: expected some")
        author = self._author(request.user, request.reason)
        change_person(self._config, request.name, {}, request.rights.given, author)
        return DoneEvent()

    def _send_picture(self, request: PictureRequest) -> DoneEvent:
        from edge.audit.picture_store import read_picture
        from edge.audit.sealing import picture_cipher
        from edge.gallery.key import become_owner
        from edge.gallery.store import read_evidence_key

        locations = all_log_locations(self._config)
        folder = next((one.pictures for one in locations if one.name == request.log), None)
        cipher = picture_cipher(read_evidence_key(self._config), self._config.terminal)
        become_owner(self._config.state)
        try:
            if folder is None:
                raise RecordError(f"{request.log}: no such log of decisions")
            picture = read_picture(folder, request.number, cipher)
        except RecordError as error:
            raise PeopleProtocolError(PeopleRefusal.NO_PICTURE, str(error)) from error
        self._client.send(PictureEvent(size=len(picture)), picture)
        return DoneEvent()


Samples = tuple[Sequence["FaceSample"], Sequence["Refusal"]]


def _take_photos(photos: Sequence[tuple[str, bytes]], context: EnrollmentContext) -> Samples:
    """Decode photos with the rights of the gallery's owner, one at a time."""
    from edge.gallery.enrollment.photos import take_samples
    from edge.photofile import Pixels, decode_photo

    def decode(name: str, encoded: bytes) -> Pixels | PhotoError:
        try:
            return decode_photo(encoded, name)
        except PhotoError as error:
            return error

    networks = context.networks
    pictures = ((name, decode(name, encoded)) for name, encoded in photos)
    return take_samples(pictures, networks.detector, networks.embedder, context.requirements)


def _refusal(refused: Sequence[Refusal]) -> RefusedEvent:
    first, *others = refused
    more = f" and {len(others)} more" if others else ""
    text = f"{first.message}{more}; nothing was stored"
    return RefusedEvent(code=first.reason.value, text=text, photos=_photos(refused))


def _photos(refused: Sequence[Refusal]) -> tuple[RefusedPhoto, ...]:
    return tuple(
        RefusedPhoto(photo=one.photo, code=one.reason.value, text=one.message) for one in refused
    )
