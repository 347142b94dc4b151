"""Health page."""

from __future__ import annotations

import re

import pytest

from edge.audit.writer import AuditLogWriter
from edge.console.context import Console
from edge.console.door_control import DoorControl, DoorReport
from edge.console.health_checks import check_health
from edge.console.roles import Role
from edge.console.tls import LIFETIME, prepare_certificate, utc_now
from tests.edge.console.conftest import Clients


def states(console: Console, door: dict[str, object] | None = None) -> dict[str, str]:
    return {item.name: item.state for item in check_health(console, door)}


def test_health_page_shows_failures(client_of: Clients) -> None:
    text = client_of(Role.VIEWER).get("/health").text
    assert re.search(r"Door process</th>\s*<td><span class=\"badge bad\">failed", text)
    assert "is edge-door running" in text


def test_health_of_a_working_terminal_is_good(console: Console) -> None:
    for folder in (console.config.decisions_path, console.config.door_record_path):
        AuditLogWriter(folder).close()
    prepare_certificate(console.settings, utc_now())
    console.config.live_socket_path.touch()
    assert set(states(console, {"state": "locked", "alarms": []}).values()) == {"good"}


def test_health_warns_before_certificate_ends(console: Console) -> None:
    prepare_certificate(console.settings, utc_now() - LIFETIME * 0.98)
    assert states(console)["Certificate"] == "warn"


def test_health_names_alarms(console: Console) -> None:
    alarms = {"state": "locked", "alarms": ["forced-open"]}
    assert states(console, alarms)["Door process"] == "warn"


def test_health_page_has_no_silent_alarm(
    client_of: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def status(_: DoorControl, _name: str) -> DoorReport:
        return DoorReport({"state": "locked", "alarms": ["duress", "forced-open"]}, "", 0.0)

    monkeypatch.setattr(DoorControl, "status", status)
    assert "alarms: forced-open<" in client_of(Role.VIEWER).get("/health").text
