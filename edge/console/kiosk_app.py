"""Application of the terminal's own screen: on loopback only, without login."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.staticfiles import StaticFiles

from edge.console.app import STATIC
from edge.console.context import Console
from edge.console.kiosk import router
from edge.console.security import BODY_MAX, BodyLimit, CrossSiteCheck, SecurityHeaders
from edge.console.settings import LOOPBACK


def create_kiosk_app(console: Console) -> FastAPI:
    """Return the application of the terminal's screen."""
    app = FastAPI(title="mfsa-edge kiosk", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    app.include_router(router.router)
    app.add_middleware(BodyLimit, limit=BODY_MAX, uploads={}, may_upload=lambda scope: False)
    app.add_middleware(CrossSiteCheck)
    # A page of another site cannot reach the kiosk by a name that resolves to the loopback.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])
    app.add_middleware(SecurityHeaders, tls=False)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
