"""Application for operators: pages and API, over TLS."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from edge.console import error_pages
from edge.console.api import health as health_api
from edge.console.api.app import create_api
from edge.console.api.document import PREFIX
from edge.console.context import Console
from edge.console.pages import audit, door, events, health, live, login, users
from edge.console.security import BODY_MAX, BodyLimit, CrossSiteCheck, SecurityHeaders

STATIC = Path(__file__).parent / "static"
ROUTERS = (
    live.router,
    login.router,
    events.router,
    door.router,
    health.router,
    health_api.root_router,
    audit.router,
    users.router,
)


def create_app(console: Console) -> FastAPI:
    """Return the application for operators."""
    app = FastAPI(title="mfsa-edge console", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.console = console
    for router in ROUTERS:
        app.include_router(router)
    error_pages.install(app)
    app.add_middleware(BodyLimit, limit=BODY_MAX)
    app.add_middleware(CrossSiteCheck)
    app.add_middleware(SecurityHeaders, tls=True)
    app.mount(PREFIX, create_api(console))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
