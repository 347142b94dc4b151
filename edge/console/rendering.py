"""HTML pages from the templates of the console."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from edge.console.context import console_of
from edge.console.roles import Permission, Principal
from edge.console.translation import Language, mark


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """Page in the navigation, shown to those with its permission."""

    path: str
    title: str  # in English; templates translate it
    permission: Permission


NAVIGATION = (
    NavigationItem("/live", mark("Live view"), Permission.VIEW_LIVE),
    NavigationItem("/events", mark("Events"), Permission.READ_EVENTS),
    NavigationItem("/door", mark("Door"), Permission.READ_DOOR),
    NavigationItem("/people", mark("Enrolled people"), Permission.READ_PEOPLE),
    NavigationItem("/health", mark("Health"), Permission.READ_HEALTH),
    NavigationItem("/audit", mark("Audit logs"), Permission.READ_AUDIT),
    NavigationItem("/users", mark("Users"), Permission.MANAGE_USERS),
    NavigationItem("/tokens", mark("API tokens"), Permission.MANAGE_TOKENS),
)


def format_time(seconds: float | None) -> str:
    """Return a time in UTC for people; `seconds` in Unix seconds."""
    if seconds is None:
        return "–"
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


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
    environment.filters["time"] = format_time
    environment.globals["language"] = language
    return environment


def render(
    request: Request,
    template: str,
    principal: Principal | None = None,
    *,
    status: int = 200,
    **fields: Any,
) -> HTMLResponse:
    """Return the page of a template; values are escaped."""
    shown = [item for item in NAVIGATION if principal and principal.has(item.permission)]
    console = console_of(request)
    text = (
        _build_environment(console.language)
        .get_template(template)
        .render(
            path=request.url.path,
            principal=principal,
            navigation=shown,
            terminal=console.config.terminal,
            **fields,
        )
    )
    return HTMLResponse(text, status)
