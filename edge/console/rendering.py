"""HTML pages from the templates of the console."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from edge.console.context import console_of
from edge.console.translation import Language


@cache
def _build_environment(language: Language) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge.console", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext, language.ngettext, newstyle=True
    )
    environment.globals["language"] = language
    return environment


def render(request: Request, template: str, *, status: int = 200, **fields: Any) -> HTMLResponse:
    """Return the page of a template; values are escaped."""
    environment = _build_environment(console_of(request).language)
    text = environment.get_template(template).render(path=request.url.path, **fields)
    return HTMLResponse(text, status)
