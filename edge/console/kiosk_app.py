"""Application of the terminal's own screen: on loopback only, without login."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware

from edge.console.app import STATIC
from edge.console.context import Console
from edge.console.kiosk import router
from edge.console.settings import LOOPBACK


def create_kiosk_app(console: Console) -> FastAPI:
    """Return the application of the terminal's screen."""
    app = FastAPI(title="mfsa-edge kiosk", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    app.include_router(router.router)
    # A name of another server that leads here, by DNS, is refused.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
