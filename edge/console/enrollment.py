"""Enrollment from the camera in progress: one at a time, followed by the page of its user."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus

from edge.console.people_control import PeopleControl, PeopleUnavailableError
from edge.console.problem_error import ProblemError
from edge.people_protocol import (
    DoneEvent,
    EnrollCameraRequest,
    HintEvent,
    PeopleRefusal,
    RefusedEvent,
    WarningEvent,
)

ABANDONED_S = 10.0  # without a request of the page
_POLL_S = 0.5
_CANCELLED = RefusedEvent(code=PeopleRefusal.CANCELLED.value, text=PeopleRefusal.CANCELLED.sentence)


@dataclass(slots=True, eq=False)
class EnrollmentProgress:
    """Enrollment of one person, as its page shows it."""

    number: str
    user: str
    name: str
    hint: HintEvent | None = None
    warnings: list[str] = field(default_factory=list)
    done: DoneEvent | None = None
    refused: RefusedEvent | None = None
    asked_at: float = 0.0  # monotonic seconds

    @property
    def is_running(self) -> bool:
        return self.done is None and self.refused is None


class EnrollmentRunner:
    """Runs the enrollment; it ends if its page is closed."""

    def __init__(self, people: PeopleControl, clock: Callable[[], float] = time.monotonic) -> None:
        self._people, self._clock = people, clock
        self._progress: EnrollmentProgress | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, request: EnrollCameraRequest, user: str) -> EnrollmentProgress:
        """Start the enrollment; an earlier one of the user is cancelled.

        Raises ProblemError while another user enrolls.
        """
        running = self._progress
        if running is not None and running.is_running:
            if running.user != user:
                raise ProblemError(
                    HTTPStatus.CONFLICT,
                    f"{running.user} enrolls at this camera; wait until that is done",
                    PeopleRefusal.CAMERA_FAILED.value,
                )
            await self.cancel(running)
        progress = EnrollmentProgress(secrets.token_urlsafe(12), user, request.name)
        progress.asked_at = self._clock()
        self._progress = progress
        self._task = asyncio.create_task(self._run(progress, request))
        return progress

    def find(self, number: str, user: str) -> EnrollmentProgress | None:
        """Return the newest enrollment of a user by its number, and note that its page is open."""
        found = self._progress
        if found is None or found.number != number or found.user != user:
            return None
        found.asked_at = self._clock()
        return found

    async def cancel(self, progress: EnrollmentProgress) -> None:
        """End an enrollment and wait until the camera is free; a stored one stays."""
        if progress is self._progress and self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, progress: EnrollmentProgress, request: EnrollCameraRequest) -> None:
        following = asyncio.create_task(self._follow(progress, request))
        try:
            while not following.done():
                await asyncio.wait({following}, timeout=_POLL_S)
                if self._clock() - progress.asked_at > ABANDONED_S:
                    return
            await following
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            if progress.is_running:
                progress.refused = _CANCELLED

    async def _follow(self, progress: EnrollmentProgress, request: EnrollCameraRequest) -> None:
        """Note each event of the service."""
        try:
            async with aclosing(self._people.events(request)) as events:
                async for event in events:
                    if isinstance(event, HintEvent):
                        progress.hint = event
                    elif isinstance(event, WarningEvent):
                        progress.warnings.append(event.text)
                    elif isinstance(event, DoneEvent):
                        progress.done = event
                    elif isinstance(event, RefusedEvent):
                        progress.refused = event
        except PeopleUnavailableError as error:
            code = PeopleRefusal.INTERNAL.value
            progress.refused = RefusedEvent(code=code, text=str(error))
