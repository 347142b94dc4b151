"""REST API: events, doors, health and metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edge.config import TerminalConfig
from edge.console import idempotency
from edge.console.api.app import create_api
from edge.console.api.document import openapi_document
from edge.console.context import Console
from edge.console.events import ConsoleEvent
from edge.console.roles import Role
from tests.doors import RunningDoor, passing
from tests.edge.console.conftest import Clients
from tests.edge.console.logs import SampleLog
from tests.processes import until

API = "/api/v1"


@pytest.fixture
def door(console_config: TerminalConfig) -> Iterator[RunningDoor]:
    running = RunningDoor(console_config.door_folder)
    yield running
    running.stop()


@pytest.fixture
def decisions(console_config: TerminalConfig) -> Iterator[SampleLog]:
    log = SampleLog(console_config.decisions_path)
    for number in range(5):
        log.decide("Ada" if number else "Ben")
    yield log
    log.close()


@pytest.fixture
def api(decisions: SampleLog, client_of: Clients) -> TestClient:
    """Client of an operator, with decisions in the log."""
    return client_of(Role.OPERATOR)


def get(client: TestClient, path: str, status: int = 200, **query: Any) -> Any:
    answer = client.get(f"{API}{path}", params=query)
    assert answer.status_code == status, answer.text
    kind = answer.headers["content-type"]
    assert kind == ("application/json" if status == 200 else "application/problem+json")
    return answer.json()


def command(
    client: TestClient, key: str, status: int = 200, name: str = "lockdown", **more: str
) -> Any:
    body = {"command": name, "reason": "drill", **more}
    headers = {"idempotency-key": key}
    answer = client.post(f"{API}/doors/main/commands", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_events_are_listed_in_pages(api: TestClient) -> None:
    page = get(api, "/events", limit=3)
    assert [event["number"] for event in page["events"]] == [5, 4, 3]
    rest = get(api, "/events", before=page["older"])
    assert [event["number"] for event in rest["events"]] == [2, 1] and rest["older"] is None
    assert get(api, "/events", after=page["newer"])["events"] == []
    newest = page["events"][0]
    assert newest["sentence"] == "Access granted" and newest["subject"] == "Ada"
    assert get(api, f"/events/{newest['id']}") == newest == get(api, "/events/decisions:5")


def test_events_are_filtered(api: TestClient) -> None:
    for query, count in (
        ({"subject": "Ben"}, 1),
        ({"kind": "grant"}, 5),
        ({"since": "2027-01-15T08:00:03Z"}, 2),
        ({"until": "2027-01-15T09:00:03+01:00"}, 3),
    ):
        assert len(get(api, "/events", **query)["events"]) == count, query


@pytest.mark.parametrize(
    "query",
    [
        {"before": "start", "after": "start"},
        {"after": "nonsense"},
        {"limit": 0},
        {"limit": 501},
        {"since": "2027-01-15T08:00:00"},
        {"log": "windows"},
        {"subject": "x" * 129},
    ],
)
def test_invalid_query_is_a_problem(api: TestClient, query: dict[str, Any]) -> None:
    found = get(api, "/events", 422, **query)
    assert found["status"] == 422 and found["detail"]


@pytest.mark.parametrize("event", ["decisions:99", "door:1", f"decisions:1:{'0' * 16}"])
def test_unknown_event_is_a_problem(api: TestClient, event: str) -> None:
    assert "no such event" in get(api, f"/events/{event}", 404)["detail"]


def test_request_without_token_is_a_problem(anonymous: TestClient) -> None:
    answer = anonymous.get(f"{API}/events")
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"] == "log in first"


def test_door_is_shown(api: TestClient, door: RunningDoor) -> None:
    (found,) = get(api, "/doors")["doors"]
    assert found == get(api, "/doors/main") and found["may_command"]
    assert (found["is_available"], found["status"]["state"]) == (True, "locked")
    assert "no such door" in get(api, "/doors/cellar", 404)["detail"]


def test_missing_door_is_named(api: TestClient) -> None:
    (found,) = get(api, "/doors")["doors"]
    assert not found["is_available"] and "is edge-door running?" in found["error"]
    assert "is edge-door running?" in command(api, "k1", 503)["detail"]
    assert "is edge-door running?" in command(api, "k1", 503)["detail"]


def test_command_is_executed_and_recorded(api: TestClient, door: RunningDoor) -> None:
    assert command(api, "k1") == {"command": "lockdown", "warning": None}
    until(lambda: get(api, "/doors/main")["status"]["reason"] == "lockdown", "the status follows")
    (record,) = [r for r in door.read_records() if r.get("event") == "operator-command"]
    assert (record["user"], record["note"]) == ("operator", "drill")
    refused = command(api, "k2", 409, "unlock")
    assert refused["code"] == "lockdown" and "release it first" in refused["detail"]


def test_repeated_command_is_executed_once(api: TestClient, door: RunningDoor) -> None:
    first = command(api, "k1", name="unlock")
    assert command(api, "k1", name="unlock") == first
    assert command(api, "k1", 422, "hold")["code"] == "key-reused"
    assert door.events().count("operator-command") == 1


def test_command_without_answer_is_not_repeated(
    api: TestClient, console: Console, door: RunningDoor
) -> None:
    """The console was stopped between the command and its answer."""
    keys = idempotency.IdempotencyStore(console.accounts.database)
    request = {"door": "main", "command": "unlock", "reason": "drill", "argument": ""}
    assert keys.begin("operator", "k1", request, console.accounts.wall()) is None
    assert command(api, "k1", 409, "unlock")["code"] == "key-in-use"
    assert "operator-command" not in door.events()


def test_old_keys_are_forgotten(console: Console) -> None:
    keys = idempotency.IdempotencyStore(console.accounts.database)
    assert keys.begin("Ada", "k1", {"a": 1}, 1000.0) is None
    assert keys.begin("Ben", "k1", {"a": 1}, 1000.0) is None
    assert keys.begin("Ada", "k1", {"a": 2}, 1000.0 + 86401) is None


@pytest.mark.parametrize(
    "body",
    [
        {"command": "open", "reason": "x"},
        {"command": "unlock", "reason": ""},
        {"command": "unlock", "reason": "a\nb"},
        {"command": "unlock", "reason": "x", "door": "main"},
        {"command": "unlock", "reason": "x", "argument": "y" * 257},
        {"command": "change-people", "reason": "x"},
    ],
)
def test_invalid_command_is_a_problem(api: TestClient, body: dict[str, str]) -> None:
    headers = {"idempotency-key": "k1"}
    answer = api.post(f"{API}/doors/main/commands", json=body, headers=headers)
    assert answer.status_code == 422
    assert api.post(f"{API}/doors/main/commands", json=body).status_code == 422


def test_viewer_may_not_command(client_of: Clients, door: RunningDoor) -> None:
    assert "no permission" in command(client_of(Role.VIEWER), "k1", 403)["detail"]
    assert "operator-command" not in door.events()


def test_silent_alarm_is_hidden_from_viewers(
    client_of: Clients, console_config: TerminalConfig
) -> None:
    log = SampleLog(console_config.door_record_path)
    log.append(event="duress", reason="pin", subject="Ada", latches=["duress"])
    log.append(event="alarm", reason="duress", latches=["duress"])
    log.append(event="unlocked", reason="grant", latches=["fire", "duress"])
    log.close()
    operator, viewer = client_of(Role.OPERATOR), client_of(Role.VIEWER)
    until(lambda: len(get(operator, "/events")["events"]) == 3, "the log is read")
    (shown,) = get(viewer, "/events")["events"]
    assert shown["what"] == "unlocked" and shown["fields"]["latches"] == ["fire"]
    assert "duress" not in json.dumps(get(viewer, "/events"))
    get(viewer, "/events/door:1", 404)


def test_log_of_the_console_is_for_auditors(client_of: Clients, console: Console) -> None:
    """The logs of the actions of users need the permission to read audit logs."""
    console.accounts.audit.append(ConsoleEvent.LOGOUT, "Ada")
    operator, auditor = client_of(Role.OPERATOR), client_of(Role.AUDITOR)
    found = [event for event in get(auditor, "/events")["events"] if event["log"] == "console"]
    assert found[0]["sentence"] == "A user logged out"
    assert get(operator, "/events")["events"] == []


def test_health_and_readiness(
    api: TestClient, anonymous: TestClient, door: RunningDoor, console: Console
) -> None:
    assert anonymous.get("/healthz").text == "ok\n"
    assert anonymous.get("/readyz").json() == {"ready": True}
    found = get(api, "/health")
    assert found["is_ready"] and found["camera"] is None
    assert {log["name"] for log in found["logs"]} == {"console", "decisions", "door"}
    door.stop()
    with passing():
        until(lambda: anonymous.get("/readyz").status_code == 503, "the console notices it")


def test_document_has_examples(console: Console) -> None:
    document = openapi_document(create_api(console))
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"] and operation["description"], (method, path)
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (method, path, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        for field, found in schema.get("properties", {}).items():
            is_described = "description" in found or "examples" in found or "$ref" in str(found)
            assert is_described, (name, field)


def test_document_needs_a_login(api: TestClient, anonymous: TestClient, tmp_path: Path) -> None:
    assert get(api, "/openapi.json")["info"]["title"] == "mfsa-edge terminal"
    assert anonymous.get(f"{API}/openapi.json").status_code == 401
