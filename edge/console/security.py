"""Protection of all routes: response headers, requests of other sites, size of bodies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

BODY_MAX = 1 << 20  # bytes of a request
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), usb=()",
}
TRANSPORT_SECURITY = "max-age=31536000"


class SecurityHeaders:
    """Adds headers to each response; `tls` adds Strict-Transport-Security.

    Responses are not stored by browsers, except static files. An unexpected error is logged and
    answered with status 500, which has the headers too.
    """

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app, self._tls = app, tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = str(scope["path"]).startswith("/static/")

        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                if self._tls:
                    headers["strict-transport-security"] = TRANSPORT_SECURITY
                headers["cache-control"] = "no-cache" if is_static else "no-store"
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            if is_started:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            answer = PlainTextResponse("internal error; see the journal of edge-console", 500)
            await answer(scope, receive, send_with_headers)


class CrossSiteCheck:
    """Refuses requests of other sites that change something, and their WebSockets.

    Browsers send `Sec-Fetch-Site` or `Origin`; programs send neither, and no cookie.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or _is_own_request(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer = PlainTextResponse("request of another site", 403)
            await answer(scope, receive, send)


def _is_own_request(scope: Scope) -> bool:
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return True
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


class BodyLimit:
    """Refuses requests whose body is larger than a limit in bytes, or a form in another charset.

    Python takes minutes to decode a megabyte of some charsets, such as Punycode.

    `uploads` are larger limits by path, for clients that `may_upload` accepts by their headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int,
        uploads: Mapping[str, int],
        may_upload: Callable[[Scope], bool],
    ) -> None:
        self._app, self._limit = app, limit
        self._uploads, self._may_upload = uploads, may_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "").lower()
        if "multipart" in kind and "charset" in kind:
            answer = PlainTextResponse("expected a form in UTF-8, without `charset`", 415)
            await answer(scope, receive, send)
            return
        limit = await self._limit_of(scope)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        received, is_over, is_answered = 0, False, False

        async def receive_limited() -> Message:
            nonlocal received, is_over
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                is_over = True
                return {"type": "http.disconnect"}
            return message

        async def send_within_limit(message: Message) -> None:
            nonlocal is_answered
            if not is_over or is_answered:
                is_answered = True
                await send(message)

        try:
            await self._app(scope, receive_limited, send_within_limit)
        except Exception:
            if not is_over:
                raise
        if is_over and not is_answered:
            await self._refuse(limit, scope, receive, send)

    async def _limit_of(self, scope: Scope) -> int:
        larger = self._uploads.get(str(scope["path"]))
        if larger is None:
            return self._limit
        # The database may wait for the disk.
        return larger if await to_thread.run_sync(self._may_upload, scope) else self._limit

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        answer = PlainTextResponse(f"the request is larger than {limit} bytes", 413)
        await answer(scope, receive, send)
