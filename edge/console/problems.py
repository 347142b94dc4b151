"""Errors of the API as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from edge.console.error_pages import status_of
from edge.console.problem_error import ProblemError
from edge.errors import MfsaError

MEDIA_TYPE = "application/problem+json"
# Statuses that each route of the API may have.
ALL_ROUTES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY)


class Problem(BaseModel):
    """Problem details of RFC 9457."""

    type: str = Field("about:blank", description="kind of the problem; about:blank: the status")
    title: str = Field(description="short text of the kind", examples=["Conflict"])
    status: int = Field(description="HTTP status", examples=[409])
    detail: str = Field(
        description="what failed, why, and what to do",
        examples=["the door refused: the fire input is still active"],
    )
    code: str | None = Field(
        None, description="stable code, see codes.md", examples=["fire-input-active"]
    )


def problem(
    status: int, detail: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem as response."""
    content = problem_fields(status, detail, code)
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


def problem_fields(status: int, detail: str, code: str | None) -> dict[str, Any]:
    """Return the fields of a problem."""
    found = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code)
    return found.model_dump(exclude_none=True)


def responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the description of problems for the OpenAPI document of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {each.value: {"description": each.phrase, "content": content} for each in statuses}


def install(app: FastAPI) -> None:
    """Answer errors of an application with problem details."""

    @app.exception_handler(ProblemError)
    async def answer_problem(_: Request, error: ProblemError) -> Response:
        return problem(error.status, error.detail, error.code)

    @app.exception_handler(HTTPException)
    async def answer_refusal(_: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(_: Request, error: RequestValidationError) -> Response:
        found = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, found)

    @app.exception_handler(MfsaError)
    async def answer_error(_: Request, error: MfsaError) -> Response:
        status = status_of(error)
        retry = {"retry-after": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return problem(status, str(error), headers=retry)
