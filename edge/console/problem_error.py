"""Refusal of a request, for pages and the API."""

from __future__ import annotations

from http import HTTPStatus


class ProblemError(Exception):
    """Refusal of a request with a stable code."""

    def __init__(self, status: HTTPStatus, detail: str, code: str | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code = status, detail, code
