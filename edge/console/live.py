"""Client of the recogniser's live socket: one connection for any number of viewers.

It is connected only while there are viewers: without them the recogniser encodes no pictures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import RecogniserError
from edge.live import protocol
from edge.live.protocol import LiveView

log = logging.getLogger(__name__)

_ANSWER_S = protocol.STALL_S  # the recogniser answers within a second
_RETRY_S = (0.2, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class LiveState:
    """Newest view and picture. Numbers grow with each change."""

    number: int
    view: LiveView | None  # None: not connected to the recogniser
    details: bytes  # JSON of the view, as received
    picture: bytes  # newest JPEG, empty if there is none
    picture_number: int  # `number` at which the picture changed


_EMPTY = LiveState(0, None, b"", b"", 0)


class LiveClient:
    """Keeps the newest view. Use it in one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state = _EMPTY
        self._changed = asyncio.Event()
        self._viewers = 0
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False  # a lost connection is logged once

    @contextlib.asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Count as a viewer; the first one connects, the last one disconnects."""
        self._viewers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                task, self._task = self._task, None
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                # The next viewer gets no old picture, maybe in another event loop.
                self._state, self._changed = _EMPTY, asyncio.Event()

    @property
    def state(self) -> LiveState:
        """Newest state."""
        return self._state

    async def newer(self, number: int) -> LiveState:
        """Return the newest state; wait until one exists that is newer than `number`."""
        while self._state.number <= number:
            await self._changed.wait()
        return self._state

    def _put(self, view: LiveView | None, details: bytes = b"", picture: bytes = b"") -> None:
        before = self._state
        number = before.number + 1
        if view is None:
            self._state = LiveState(number, None, b"", b"", number)
        elif picture:
            self._state = LiveState(number, view, details, picture, number)
        else:
            self._state = LiveState(number, view, details, before.picture, before.picture_number)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run(self) -> None:
        """Connect again and again, until cancelled."""
        attempt = 0
        while True:
            number = self._state.number
            try:
                await self._follow()
            except RecogniserError as error:
                self._note_loss(str(error))
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                self._note_loss(f"{error or 'no answer'}; is edge-daemon running?")
            attempt = 0 if self._state.number > number else attempt + 1
            if self._state.view is not None or self._state.number == 0:
                self._put(None)
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])

    def _note_loss(self, reason: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            log.warning("%s: no live view: %s", self._path, reason)

    async def _follow(self) -> None:
        """Take over views until the connection ends; raises OSError, EOFError, RecogniserError."""
        reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(self._path), _ANSWER_S)
        try:
            while True:
                writer.write(protocol.NEXT)
                view, details, picture = await asyncio.wait_for(_read_view(reader), _ANSWER_S)
                self._is_lost = False
                self._put(view, details, picture)
        finally:
            writer.close()


async def _read_view(reader: asyncio.StreamReader) -> tuple[LiveView, bytes, bytes]:
    """Return view, its JSON and the JPEG; raises EOFError, RecogniserError."""
    sizes = protocol.parse_header(await reader.readexactly(protocol.HEADER_SIZE))
    details = await reader.readexactly(sizes.view)
    picture = await reader.readexactly(sizes.picture)
    return protocol.parse_view(details), details, picture
