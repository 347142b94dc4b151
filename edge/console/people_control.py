"""Client of edge-people, which reads the gallery: one connection for each request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from http import HTTPStatus
from pathlib import Path

from edge.console.problem_error import ProblemError
from edge.errors import MfsaError
from edge.names import name_key
from edge.people_protocol import (
    EVENT_MAX,
    USER_MAX,
    DoneEvent,
    ListRequest,
    PeopleEvent,
    PeopleProtocolError,
    PeopleRefusal,
    PeopleRequest,
    PersonEvent,
    PictureEvent,
    PictureRequest,
    RefusedEvent,
    encode,
    parse_event,
)

LIST_MAX_AGE_S = 5.0
_REQUESTS_MAX = 6  # at once; the service takes two more
_TIMEOUT_S = 60.0  # without an event
_STATUSES = {
    PeopleRefusal.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    PeopleRefusal.NOT_ENROLLED: HTTPStatus.NOT_FOUND,
    PeopleRefusal.NO_PICTURE: HTTPStatus.NOT_FOUND,
    PeopleRefusal.NO_RECOGNISER: HTTPStatus.SERVICE_UNAVAILABLE,
    PeopleRefusal.WRONG_ACCOUNT: HTTPStatus.SERVICE_UNAVAILABLE,
    PeopleRefusal.INTERNAL: HTTPStatus.SERVICE_UNAVAILABLE,
}


class PeopleRefusedError(ProblemError):
    """A request was refused; `event` has code, sentence and photos."""

    def __init__(self, event: RefusedEvent) -> None:
        statuses = {code.value: status for code, status in _STATUSES.items()}
        super().__init__(statuses.get(event.code, HTTPStatus.CONFLICT), event.text, event.code)
        self.event = event


class PeopleUnavailableError(MfsaError):
    """edge-people cannot be reached, or does not answer."""


class PeopleControl:
    """Sends requests of users. The list of people is kept for some seconds."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._places = asyncio.Semaphore(_REQUESTS_MAX)
        self._people: list[PersonEvent] = []
        self._listed_at = float("-inf")
        self._listing = asyncio.Lock()

    async def events(
        self, request: PeopleRequest, payload: bytes = b""
    ) -> AsyncGenerator[PeopleEvent, None]:
        """Yield the events of a request; it is cancelled if this is closed before its end.

        Raises PeopleUnavailableError.
        """
        async with self._places, self._connect(request, payload) as reader:
            while True:
                event = await self._next(reader)
                is_end = isinstance(event, (DoneEvent, RefusedEvent))
                if is_end:
                    self._listed_at = float("-inf")  # the list may have changed
                yield event
                if is_end:
                    return

    async def finish(self, request: PeopleRequest, payload: bytes = b"") -> DoneEvent:
        """Return the end of a request. Raises PeopleRefusedError, PeopleUnavailableError."""
        async for event in self.events(request, payload):
            if isinstance(event, RefusedEvent):
                raise PeopleRefusedError(event)
            if isinstance(event, DoneEvent):
                return event
        raise AssertionError("a request ends with done or refused")

    async def list_people(self, user: str) -> list[PersonEvent]:
        """Return all people by name. Raises PeopleRefusedError, PeopleUnavailableError."""
        async with self._listing:  # requests at the same time share one answer
            if self._clock() - self._listed_at >= LIST_MAX_AGE_S:
                self._people = await self._read_people(user)
                self._listed_at = self._clock()
            return self._people

    async def find(self, user: str, name: str) -> PersonEvent | None:
        """Return a person, None if the name is not enrolled."""
        people = await self.list_people(user)
        return next((one for one in people if name_key(one.name) == name_key(name)), None)

    async def read_picture(self, user: str, log: str, number: int) -> bytes:
        """Return the evidence picture of a decision (PNG).

        Raises PeopleRefusedError, PeopleUnavailableError.
        """
        request = PictureRequest(v=1, user=user[:USER_MAX], kind="picture", log=log, number=number)
        async with self._places, self._connect(request, b"") as reader:
            event = await self._next(reader)
            if isinstance(event, RefusedEvent):
                raise PeopleRefusedError(event)
            if not isinstance(event, PictureEvent):
                raise PeopleUnavailableError(f"{self._path}: expected a picture; see its log")
            with self._errors():
                return await asyncio.wait_for(reader.readexactly(event.size), _TIMEOUT_S)

    async def _read_people(self, user: str) -> list[PersonEvent]:
        people: list[PersonEvent] = []
        request = ListRequest(v=1, user=user[:USER_MAX], kind="list")
        async for event in self.events(request):
            if isinstance(event, RefusedEvent):
                raise PeopleRefusedError(event)
            if isinstance(event, PersonEvent):
                people.append(event)
        return sorted(people, key=lambda person: name_key(person.name).casefold())

    async def _next(self, reader: asyncio.StreamReader) -> PeopleEvent:
        with self._errors():
            line = await asyncio.wait_for(reader.readline(), _TIMEOUT_S)
            if not line:
                raise ConnectionResetError("the connection was closed before the end")
            return parse_event(line)

    @contextlib.asynccontextmanager
    async def _connect(
        self, request: PeopleRequest, payload: bytes
    ) -> AsyncIterator[asyncio.StreamReader]:
        with self._errors():
            reader, writer = await asyncio.open_unix_connection(self._path, limit=EVENT_MAX)
        try:
            with self._errors():
                writer.write(encode(request) + payload)
                await asyncio.wait_for(writer.drain(), _TIMEOUT_S)
            yield reader
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, EOFError, asyncio.TimeoutError, PeopleProtocolError) as error:
            raise PeopleUnavailableError(
                f"{self._path}: edge-people cannot be used: {error or 'no answer'}; is "
                "edge-people.socket started, and is this the account mfsa-console?"
            ) from error


def is_found(person: PersonEvent, search: str) -> bool:
    """Return True if the name or a group of a person contains a text."""
    text = name_key(search).casefold()
    words = (person.name, *person.rights.groups)
    return any(text in name_key(word).casefold() for word in words)
