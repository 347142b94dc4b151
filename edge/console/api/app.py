"""Application of the REST API, mounted at /api/v1."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer

from edge.console import problems
from edge.console.api import door, events, health, stream
from edge.console.context import Console
from edge.console.permissions import current_principal

PREFIX = "/api/v1"
VERSION = "1.0"
_DESCRIPTION = """\
Events of the audit logs, doors and health of one terminal. Errors are problem details (RFC 9457).
Send an API token as `Authorization: Bearer TOKEN`."""
_bearer = HTTPBearer(auto_error=False, description="API token of the console")


def create_api(console: Console) -> FastAPI:
    """Return the application of the API."""
    api = FastAPI(
        title="mfsa-edge terminal",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(_bearer)],
    )
    api.state.console = console
    for module in (events, stream, door, health):
        api.include_router(module.router)
    problems.install(api)

    @api.get("/openapi.json", include_in_schema=False, dependencies=[Depends(current_principal)])
    async def show_document() -> Response:
        """Return the OpenAPI document."""
        return JSONResponse(openapi_document(api))

    return api


def openapi_document(api: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the API."""
    document = get_openapi(
        title=api.title,
        version=VERSION,
        description=_DESCRIPTION,
        routes=api.routes,
        servers=[{"url": PREFIX}],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = problems.Problem.model_json_schema()
    for path in document["paths"].values():
        for operation in path.values():
            # Instead of FastAPI's own form, which the API does not send.
            operation["responses"] |= problems.responses(*problems.ALL_ROUTES)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document
