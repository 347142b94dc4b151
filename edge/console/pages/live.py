"""Live page of operators: the camera's picture with faces and decisions."""

from __future__ import annotations

import time
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request, WebSocket
from fastapi.responses import HTMLResponse

from edge.access.reasons import Reason
from edge.access.rules.codes import RuleRefusal
from edge.codes import Code
from edge.console.context import Console, console_of
from edge.console.live import LiveState
from edge.console.permissions import current_principal, require
from edge.console.rendering import render
from edge.console.roles import Permission, Principal
from edge.console.translation import mark
from edge.console.viewers import ViewerLimit, ViewerMessage, is_same_origin, serve_viewer
from edge.door.events import DoorRefusal
from edge.errors import AccountError
from edge.live.protocol import LiveDoorAnswer, LiveFace

router = APIRouter()

VIEWERS_MAX = 16
_limit = ViewerLimit(VIEWERS_MAX)
RECHECK_S = 5.0  # a session that ends, or loses its permission, loses the view
_CAMERA = {
    "ready": mark("The camera works"),
    "lost": mark("The camera is lost"),
    "enrollment": mark("An enrollment uses the camera"),
}
_OFFLINE = mark("The recogniser is not running")
_ANSWERS = {
    "unlocked": mark("The door was unlocked"),
    "refused": mark("The door refused"),
    "waiting": mark("The door waits"),
}
_CODES: tuple[type[Code], ...] = (Reason, DoorRefusal, RuleRefusal)


@router.get("/live")
def show_live(
    request: Request, principal: Principal = require(Permission.VIEW_LIVE)
) -> HTMLResponse:
    """Show the live page."""
    return render(request, "live.html", principal)


@router.websocket("/live/view")
async def send_live(
    browser: WebSocket, principal: Principal = require(Permission.VIEW_LIVE)
) -> None:
    """Send views to the live page."""
    if not is_same_origin(browser, "https"):
        await browser.close(1008)
        return
    console = console_of(browser)
    await serve_viewer(browser, console.live, _limit, _LiveFeed(browser, console).render)


class _LiveFeed:
    """Messages for one browser. Faces have no names and no scores."""

    def __init__(self, browser: WebSocket, console: Console) -> None:
        self._browser, self._console = browser, console
        self._checked_at = time.monotonic()

    async def render(self, state: LiveState) -> ViewerMessage | None:
        """Return the message for a state of the live view, None if access has ended."""
        now = time.monotonic()
        if now - self._checked_at >= RECHECK_S:
            self._checked_at = now
            if not await to_thread.run_sync(self._may_view):
                return None
        view, translate = state.view, self._console.language.gettext
        fields = {
            "camera": translate(_CAMERA[view.camera] if view else _OFFLINE),
            "faces": [self._face(face) for face in view.faces] if view else [],
            "door": self._answer(view.door) if view and view.door else "",
            "has_picture": bool(state.picture),
        }
        return ViewerMessage(fields, has_picture=bool(state.picture))

    def _may_view(self) -> bool:
        try:
            principal = current_principal(self._browser, "", self._console)
        except (HTTPException, AccountError):
            return False
        return principal.has(Permission.VIEW_LIVE)

    def _face(self, face: LiveFace) -> dict[str, Any]:
        return {
            "box": face.box,
            "track": self._console.language.number(face.track),
            "progress": self._console.language.percent(face.progress),
            "reason": self._sentence(face.reason),
        }

    def _answer(self, answer: LiveDoorAnswer) -> str:
        text = self._console.language.gettext(_ANSWERS[answer.state])
        return f"{text}: {self._sentence(answer.reason)}" if answer.reason else text

    def _sentence(self, code: str) -> str:
        found = next((known for codes in _CODES for known in codes if known == code), None)
        return self._console.language.gettext(found.sentence) if found else code
