"""Verification of the audit logs that the console can read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import Response

from edge.audit.report import VerificationReport
from edge.audit.verify import verify_log
from edge.audit.writer_state import read_keys, read_state
from edge.console.context import Console, console_of
from edge.console.permissions import require
from edge.console.rendering import render
from edge.console.roles import Permission, Principal
from edge.errors import RecordError

router = APIRouter()
Shared = Annotated[Console, Depends(console_of)]
Auditor = Annotated[Principal, require(Permission.READ_AUDIT)]
SHOWN_MAX = 20  # findings of a report
_verifying = asyncio.Semaphore(1)  # a long log keeps one core busy for seconds


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of a verification, and what it could not check."""

    log: str
    report: VerificationReport
    has_keys: bool
    has_state: bool

    @property
    def is_authentic(self) -> bool:
        """True if the MACs of all records were checked and fit."""
        return self.report.authentic == self.report.records


@router.get("/audit")
def show_audit(request: Request, principal: Auditor, console: Shared) -> Response:
    """Show the logs."""
    return _page(request, principal, console, None)


@router.post("/audit/verify")
async def verify(
    request: Request,
    principal: Auditor,
    console: Shared,
    log: Annotated[str, Form(max_length=80)],
) -> Response:
    """Verify one log."""
    async with _verifying:
        found = await asyncio.to_thread(_verify, console, log)
    return _page(request, principal, console, found)


def _verify(console: Console, name: str) -> Verification:
    file = next((each for each in console.feed.logs if each.name == name), None)
    if file is None:
        raise HTTPException(404, f"{name}: no such log")
    try:
        keys = read_keys(console.config.record_key_path(file.folder))
    except RecordError:
        keys = []
    try:
        state = read_state(file.folder)
    except OSError:
        state = None
    try:
        report = verify_log(
            file.folder, keys, log_id=console.config.log_id(file.folder), state=state
        )
    except OSError as error:
        raise RecordError(f"{file.folder}: cannot be read: {error.strerror}") from error
    return Verification(name, report, bool(keys), state is not None)


def _page(
    request: Request, principal: Principal, console: Console, found: Verification | None
) -> Response:
    logs, problem = console.feed.status()
    return render(
        request,
        "audit.html",
        principal,
        logs=dict(sorted(logs.items())),
        problem=problem,
        found=found,
        findings=[str(each) for each in found.report.findings[:SHOWN_MAX]] if found else [],
    )
