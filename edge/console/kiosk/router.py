"""Page of the terminal's own screen, and its live connection."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.responses import HTMLResponse

from edge.console.context import Console, console_of
from edge.console.kiosk.lock import UNKNOWN, LockFollower
from edge.console.kiosk.screen import KioskScreen, KioskState, ScreenSelector
from edge.console.kiosk.texts import kiosk_texts
from edge.console.live import LiveState
from edge.console.rendering import render
from edge.console.viewers import ViewerLimit, ViewerMessage, is_same_origin, serve_viewer

router = APIRouter()

VIEWERS_MAX = 8
_limit = ViewerLimit(VIEWERS_MAX)
_WITHOUT_PICTURE = (KioskState.OFFLINE, KioskState.CAMERA_LOST, KioskState.IDLE)


@router.get("/kiosk")
def show_kiosk(request: Request) -> HTMLResponse:
    """Show the page of the terminal's screen."""
    return render(request, "kiosk.html")


@router.get("/kiosk/texts.json")
def send_texts(console: Console = Depends(console_of)) -> dict[str, Any]:
    """Return the texts of the page in all languages."""
    return kiosk_texts(console.languages, console.language.code)


@router.websocket("/kiosk/live")
async def send_live(browser: WebSocket) -> None:
    """Send the screen and the picture to a browser on this machine."""
    if not is_same_origin(browser, "http"):
        await browser.close()
        return
    console: Console = browser.app.state.console
    feed = _KioskFeed(console)
    await serve_viewer(browser, console.live, _limit, feed.render)


class _KioskFeed:
    """Messages for one browser."""

    def __init__(self, console: Console) -> None:
        self._lock = LockFollower(console.read_door)
        self._refused = console.refused_credentials
        self._selector = ScreenSelector()

    async def render(self, state: LiveState) -> ViewerMessage:
        """Return the message for a state of the live view."""
        lock = await self._lock.read()
        screen = self._selector.select(state.view, time.monotonic(), lock, self._refused.latest)
        has_picture = screen.state not in _WITHOUT_PICTURE and bool(state.picture)
        fields = {
            **_screen_fields(screen),
            "lock": lock.text if lock else UNKNOWN,
            "is_locked": lock.is_locked if lock else None,
            "has_picture": has_picture,
        }
        return ViewerMessage(fields, has_picture)


def _screen_fields(screen: KioskScreen) -> dict[str, Any]:
    return {
        "state": screen.state.value,
        "title": screen.title,
        "text": screen.text,
        "box": screen.box,
        "progress": screen.progress,
        "seconds_left": screen.seconds_left,
    }
