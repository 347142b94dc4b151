"""Application for operators: pages and API, over TLS."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from edge.console.context import Console
from edge.console.pages import health

STATIC = Path(__file__).parent / "static"
_ROUTERS = (health.router,)


def create_app(console: Console) -> FastAPI:
    """Return the application for operators."""
    app = FastAPI(title="mfsa-edge console", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
