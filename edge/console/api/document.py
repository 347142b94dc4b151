"""OpenAPI document of the API."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from edge.console import problems
from edge.console.permissions import current_principal

PREFIX = "/api/v1"
VERSION = "1.0"
_DESCRIPTION = """\
Events of the audit logs, doors and health of one terminal. Errors are problem details (RFC 9457).
Send an API token as `Authorization: Bearer TOKEN`."""
router = APIRouter(dependencies=[Depends(current_principal)])


@router.get("/openapi.json", include_in_schema=False)
async def show_document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(openapi_document(request.app))


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
