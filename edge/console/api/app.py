"""Application of the REST API, mounted at /api/v1."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from edge.console import problems
from edge.console.api import document, door, events, health, people, stream
from edge.console.context import Console

ROUTERS = (
    events.router,
    stream.router,
    door.router,
    people.router,
    health.router,
    document.router,
)
_bearer = HTTPBearer(auto_error=False, description="API token of the console")


def create_api(console: Console) -> FastAPI:
    """Return the application of the API."""
    api = FastAPI(
        title="mfsa-edge terminal",
        version=document.VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(_bearer)],
    )
    api.state.console = console
    for router in ROUTERS:
        api.include_router(router)
    problems.install(api)
    return api
