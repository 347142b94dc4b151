"""Application of the terminal's own screen: on loopback only, without login."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from edge.console.app import STATIC
from edge.console.context import Console


def create_kiosk_app(console: Console) -> FastAPI:
    """Return the application of the terminal's screen."""
    app = FastAPI(title="mfsa-edge kiosk", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
