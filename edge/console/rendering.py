"""HTML pages from the templates of the console."""

from __future__ import annotations

from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("edge.console", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    extensions=["jinja2.ext.i18n"],
)
_ENVIRONMENT.install_null_translations(newstyle=True)  # type: ignore[attr-defined]


def render(request: Request, template: str, *, status: int = 200, **fields: Any) -> HTMLResponse:
    """Return the page of a template; values are escaped."""
    text = _ENVIRONMENT.get_template(template).render(path=request.url.path, **fields)
    return HTMLResponse(text, status)
