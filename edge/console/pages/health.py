"""Health page: state of each component of the terminal."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from edge.console.context import Console, console_of
from edge.console.health_checks import check_health
from edge.console.permissions import require
from edge.console.rendering import render
from edge.console.roles import Permission, Principal

router = APIRouter()


@router.get("/health")
async def show_health(
    request: Request,
    console: Annotated[Console, Depends(console_of)],
    principal: Annotated[Principal, require(Permission.READ_HEALTH)],
) -> Response:
    """Show the health of the terminal."""
    door = await console.read_door()
    items = await to_thread.run_sync(lambda: list(check_health(console, door)))
    return render(request, "health.html", principal, items=items)
