"""Health page: state of the terminal at a glance."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from edge.console.context import Console, console_of
from edge.console.permissions import require
from edge.console.rendering import render
from edge.console.roles import Permission, Principal

router = APIRouter()


@router.get("/health")
def show_health(
    request: Request,
    principal: Principal = require(Permission.READ_HEALTH),
    console: Console = Depends(console_of),
) -> HTMLResponse:
    """Show the health of the terminal."""
    return render(request, "health.html", principal)
