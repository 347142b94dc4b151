"""Health of the console, its logs and doors, and metrics."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from edge.console.api.models import HealthAnswer, door_answer, log_answers
from edge.console.context import Console, console_of
from edge.console.door_control import DoorReport
from edge.console.permissions import require
from edge.console.problems import responses
from edge.console.roles import Permission, Principal
from edge.console.user_view import UserView

router = APIRouter(tags=["health"])  # of the API
root_router = APIRouter()  # for load balancers and Prometheus, at the root


@router.get(
    "/health",
    summary="Read the health of the terminal",
    responses=responses(HTTPStatus.SERVICE_UNAVAILABLE),
)
async def read_health(
    principal: Annotated[Principal, require(Permission.READ_HEALTH)],
    console: Console = Depends(console_of),
) -> HealthAnswer:
    """Return the state of doors, logs and camera."""
    doors = await read_doors(console)
    logs, problem = console.feed.status()
    view = UserView(principal)
    live = await asyncio.to_thread(console.recogniser.read)
    return HealthAnswer(
        terminal=console.config.terminal,
        is_ready=find_faults(console, doors) == [],
        doors=[door_answer(name, status, view) for name, status in doors.items()],
        logs=log_answers(dict(logs)),
        problem=problem or None,
        camera=live.camera if live else None,
    )


async def read_doors(console: Console) -> dict[str, DoorReport]:
    """Return the status of each door."""
    return {name: await console.doors.status(name) for name in console.doors.names}


def find_faults(console: Console, doors: dict[str, DoorReport]) -> list[str]:
    """Return a description of each fault."""
    logs, problem = console.feed.status()
    faults = [f"door {name}: {status.error}" for name, status in doors.items() if status.error]
    faults += [f"log {name}: {log.error}" for name, log in logs.items() if log.error]
    faults += [problem] if problem else []
    return faults if console.feed.is_running else [*faults, "the logs are not followed"]


@root_router.get("/healthz")
async def is_alive() -> Response:
    """Answer while the process serves requests."""
    return PlainTextResponse("ok\n")


@root_router.get("/readyz")
async def is_ready(console: Console = Depends(console_of)) -> Response:
    """Answer with 200 if all doors answer and all logs are readable, else with 503."""
    ready = not find_faults(console, await read_doors(console))
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"ready": ready}, status)


@root_router.get("/metrics", dependencies=[require(Permission.READ_METRICS)])
async def read_metrics(console: Console = Depends(console_of)) -> Response:
    """Return the metrics in the text format of Prometheus."""
    await read_doors(console)  # the collectors use the known status
    text = await asyncio.to_thread(console.metrics.render)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
