"""Application for operators: pages and API, over TLS."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from fastapi.staticfiles import StaticFiles

from edge.console import error_pages
from edge.console.api import health as health_api
from edge.console.api.app import create_api
from edge.console.api.document import PREFIX
from edge.console.context import Console
from edge.console.pages import (
    audit,
    door,
    enrollment,
    events,
    evidence,
    health,
    live,
    login,
    people,
    users,
)
from edge.console.permissions import may_edit_people
from edge.console.security import BODY_MAX, BodyLimit, CrossSiteCheck, SecurityHeaders
from edge.people_protocol import PHOTOS_BYTES_MAX

STATIC = Path(__file__).parent / "static"
UPLOADS = ("/people/enroll", f"{PREFIX}/people")  # paths that take photos
ROUTERS = (
    live.router,
    login.router,
    evidence.router,
    events.router,
    door.router,
    enrollment.router,
    people.router,
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
    app.add_middleware(
        BodyLimit,
        limit=BODY_MAX,
        uploads=dict.fromkeys(UPLOADS, PHOTOS_BYTES_MAX + BODY_MAX),
        may_upload=lambda scope: may_edit_people(HTTPConnection(scope), console),
    )
    app.add_middleware(CrossSiteCheck)
    app.add_middleware(SecurityHeaders, tls=True)
    app.mount(PREFIX, create_api(console))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
