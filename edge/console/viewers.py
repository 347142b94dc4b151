"""Live pictures to browsers over WebSockets: the newest view after each acknowledgement.

A message is the length of its JSON (4 bytes, big endian), the JSON, and a JPEG or nothing. The
browser answers `+` when it has drawn the message. Views that arrive in between are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from edge.console.live import LiveClient, LiveState

ACKNOWLEDGED = "+"
STALL_S = 10.0  # without an acknowledgement
_TICK_S = 1.0  # longest time without a message
_LENGTH = struct.Struct(">I")
_REFUSED, _BUSY = 1008, 1013  # close codes: policy violation, try again later


@dataclass(frozen=True, slots=True)
class ViewerMessage:
    """Content of one message."""

    fields: dict[str, Any]
    has_picture: bool  # False: the browser shows no picture

    def encode(self, picture: bytes) -> bytes:
        text = json.dumps(self.fields, ensure_ascii=False, allow_nan=False).encode()
        return _LENGTH.pack(len(text)) + text + picture


Render = Callable[[LiveState], Awaitable[ViewerMessage | None]]  # None: access has ended


class ViewerLimit:
    """Counts open connections."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @contextlib.contextmanager
    def enter(self) -> Iterator[bool]:
        """Yield True if there is a free place, which is used until the end of the block."""
        is_free = self._free > 0
        self._free -= is_free
        try:
            yield is_free
        finally:
            self._free += is_free


async def serve_viewer(
    browser: WebSocket, live: LiveClient, limit: ViewerLimit, render: Render
) -> None:
    """Send views until the browser leaves, stalls or breaks the protocol."""
    with limit.enter() as is_free:
        await browser.accept()
        if not is_free:
            await browser.close(_BUSY, "too many viewers")
            return
        with contextlib.suppress(WebSocketDisconnect):
            async with live.watch():
                await _send_views(browser, live, render)


async def _send_views(browser: WebSocket, live: LiveClient, render: Render) -> None:
    """Send views; raises WebSocketDisconnect."""
    number = sent = 0
    while True:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(live.newer(number), _TICK_S)
        state = live.state
        number = state.number
        message = await render(state)
        if message is None:
            await browser.close(_REFUSED, "access has ended")
            return
        is_new = message.has_picture and state.picture_number != sent
        await browser.send_bytes(message.encode(state.picture if is_new else b""))
        if is_new:
            sent = state.picture_number
        if not await _is_acknowledged(browser):
            await browser.close(_REFUSED, "expected an acknowledgement")
            return


async def _is_acknowledged(browser: WebSocket) -> bool:
    """Wait for an acknowledgement; raises WebSocketDisconnect."""
    try:
        received = await asyncio.wait_for(browser.receive(), STALL_S)
    except asyncio.TimeoutError:
        return False
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1000))
    return received.get("text") == ACKNOWLEDGED


def is_same_origin(browser: WebSocket, scheme: str) -> bool:
    """Return True if the page that opens the connection is of this server.

    Browsers send the origin of the page; other pages must not read the pictures.
    """
    host = browser.headers.get("host")
    return host is not None and browser.headers.get("origin") == f"{scheme}://{host}"
