"""Enrollment wizard and evidence pictures over the real recogniser and edge-people."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge.audit.reader import read_log
from edge.config import TerminalConfig
from edge.console.context import Console
from edge.console.enrollment import ABANDONED_S, EnrollmentRunner
from edge.console.people_control import PeopleControl
from edge.console.problem_error import ProblemError
from edge.console.roles import Role
from edge.people_protocol import EnrollCameraRequest
from tests.edge.console.conftest import Clients
from tests.edge.console.records import wait_for_event
from tests.people_service import CALL
from tests.processes import until

pytestmark = pytest.mark.usefixtures("service", "recogniser")
SLOW = EnrollCameraRequest(**CALL, kind="enroll-camera", name="Eve")  # the portrait cannot turn


def test_person_is_enrolled_with_instructions(
    console: Console, client_of: Clients, console_config: TerminalConfig
) -> None:
    with client_of(Role.OPERATOR) as client:
        form = {"name": "Ada", "source": "camera", "frontal_only": "true", "groups": "staff"}
        page = client.post("/people/enroll", data=form).headers["location"]
        assert "/static/enrollment.js" in client.get(page).text
        shown = set()
        while (state := client.get(f"{page}/state")).status_code == 200:
            shown.add(state.text)
        assert state.status_code == 286 and "Ada is enrolled" in state.text
        assert any("look straight at the camera" in text for text in shown)
        assert "Ada</a>" in client.get("/people", params={"search": "staff"}).text
    assert wait_for_event(console, "person-enrollment")["subject"] == "Ada"
    records = console_config.decisions_path
    until(
        lambda: any(one.get("verdict") == "grant" for one in read_log(records)),
        "the person is recognised",
    )
    granted = next(one for one in read_log(records) if one.get("verdict") == "grant")
    picture = f"/events/decisions:{granted['id']}/picture"
    until(
        lambda: client_of(Role.ADMINISTRATOR).get(picture).status_code == 200,
        "the picture is written",
    )
    answer = client_of(Role.AUDITOR).get(picture)
    assert answer.content.startswith(b"\x89PNG") and answer.headers["content-type"] == "image/png"
    assert wait_for_event(console, "picture-shown")["target"] == f"decisions:{granted['id']}"
    assert client_of(Role.OPERATOR).get(picture).status_code == 403
    assert client_of(Role.AUDITOR).get("/events/decisions:1/picture").status_code == 404


def test_abandoned_enrollment_ends(console_config: TerminalConfig, service: Path) -> None:
    now = [0.0]

    async def run() -> None:
        runner = EnrollmentRunner(PeopleControl(service), lambda: now[0])
        progress = await runner.start(SLOW, "ada")
        while progress.hint is None:
            await asyncio.sleep(0)
        with pytest.raises(ProblemError, match="ada enrolls at this camera"):
            await runner.start(SLOW, "ben")
        now[0] += ABANDONED_S + 1
        while progress.is_running:
            await asyncio.sleep(0)
        assert progress.refused is not None and progress.refused.code == "cancelled"

    asyncio.run(asyncio.wait_for(run(), 300))
    ends = [one for one in read_log(console_config.decisions_path) if one.get("event") == "end"]
    assert len(ends) <= 1
