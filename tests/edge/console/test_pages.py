"""Pages of events, doors, health and audit logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from fastapi.testclient import TestClient

from edge.audit.segments import list_segments
from edge.config import TerminalConfig
from edge.console.pages import events
from edge.console.roles import Role
from tests.doors import FileInputs, RunningDoor
from tests.edge.console.conftest import Clients
from tests.edge.console.logs import SampleLog


@pytest.fixture
def decisions(console_config: TerminalConfig) -> Iterator[SampleLog]:
    log = SampleLog(console_config.decisions_path)
    for number in range(6):
        log.decide("Ada" if number else "Ben <b>")
    log.decide("Eve", "refused", "too-far")
    yield log
    log.close()


@pytest.fixture
def door(console_config: TerminalConfig) -> Iterator[RunningDoor]:
    console_config.door_folder.mkdir(parents=True, exist_ok=True)
    running = RunningDoor(console_config.door_folder, wires=FileInputs(console_config.door_folder))
    yield running
    running.stop()


@pytest.fixture
def operator(client_of: Clients) -> TestClient:
    return client_of(Role.OPERATOR)


def show(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


def rows(html: str) -> list[str]:
    """Return the sentences of the rows of events."""
    return re.findall(r'<a href="/events/[^"]+:[^"]+">([^<]*)</a>', html)


def link(html: str, pattern: str) -> str:
    found = re.search(rf'(?:href|hx-get)="({pattern})"', html)
    assert found, pattern
    return unescape(found[1])


def test_events_page_lists_newest_first(operator: TestClient, decisions: SampleLog) -> None:
    html = show(operator, "/events")
    assert rows(html)[0].startswith("The eyes are too close") and len(rows(html)) == 7
    assert "Ben &lt;b&gt;" in html and "Ben <b>" not in html


def test_events_page_has_older_pages(
    operator: TestClient, decisions: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LIMIT", 4)
    html = show(operator, "/events?kind=grant")
    assert len(rows(html)) == 4
    older = show(operator, link(html, r"/events\?[^\"]*before=[^\"]*"))
    assert len(rows(older)) == 2 and "hx-get" not in older and "Newest events" in older


def test_new_events_are_added(operator: TestClient, decisions: SampleLog) -> None:
    path = link(show(operator, "/events?reason=match"), r"/events/newer[^\"]*")
    assert rows(show(operator, path)) == []
    decisions.decide("Ada")
    decisions.decide("Eve", "refused", "blurred")
    html = show(operator, path)
    assert rows(html) == ["Access granted"]
    assert rows(show(operator, link(html, r"/events/newer[^\"]*"))) == []
    assert "hx-get" not in show(operator, "/events?paused=true")


@pytest.mark.parametrize("query", ["since=yesterday", "before=nonsense", "log=windows"])
def test_invalid_filter_is_named(operator: TestClient, decisions: SampleLog, query: str) -> None:
    assert "expected" in show(operator, f"/events?{query}", 422)


def test_event_page_shows_all_fields(operator: TestClient, decisions: SampleLog) -> None:
    decisions.append(kind="door", decision=7, outcome="unlocked", grant_id="g1")
    decisions.append(kind="decision", verdict="grant", reason="match", sealed="c2VhbGVk")
    html = show(operator, "/events/decisions:7")
    assert "too-far" in html and "code of the" not in html and "reason code" in html
    assert 'href="/events/decisions:7"' in show(operator, "/events/decisions:8")
    assert "The console has no key for them" in show(operator, "/events/decisions:9")
    show(operator, "/events/decisions:99", 404)
    show(operator, "/events/nonsense", 422)


def test_door_page_shows_state(operator: TestClient, door: RunningDoor) -> None:
    html = show(operator, "/door")
    assert "Door locked" in html and "Lockdown" in html and "rex" in html
    assert "Door locked" in show(operator, "/door/main/state")
    show(operator, "/door/cellar", 404)


def test_door_page_names_a_missing_process(operator: TestClient) -> None:
    assert "is edge-door running?" in show(operator, "/door")


def send(client: TestClient, command: str, key: str = "k1", **fields: str) -> tuple[int, str]:
    form = {"reason": "drill", "key": key, **fields}
    answer = client.post(f"/door/main/{command}", data=form)
    return answer.status_code, answer.headers.get("location", answer.text)


def test_command_needs_reason_and_is_sent_once(operator: TestClient, door: RunningDoor) -> None:
    form = show(operator, "/door/main/lockdown")
    key = re.search(r'name="key" value="([^"]+)"', form)
    assert key and "until it is released" in form
    assert "reason: expected 1 to 256" in send(operator, "lockdown", reason=" ")[1]
    for _ in range(2):
        assert send(operator, "lockdown", key[1]) == (303, "/door/main?done=lockdown")
    assert door.events().count("operator-command") == 1
    status, html = send(operator, "unlock", "k2")
    assert status == 409 and "release it first" in html and 'value="drill"' in html
    assert "Done: Lockdown" in show(operator, "/door/main?done=lockdown")
    assert "Done" not in show(operator, "/door/main?done=<script>")


def test_unknown_command_is_not_found(operator: TestClient, door: RunningDoor) -> None:
    assert send(operator, "explode")[0] == 404
    show(operator, "/door/main/explode", 404)


def test_viewer_has_no_commands(client_of: Clients, door: RunningDoor) -> None:
    viewer = client_of(Role.VIEWER)
    assert "Lockdown" not in show(viewer, "/door")
    show(viewer, "/door/main/lockdown", 403)
    assert send(viewer, "lockdown")[0] == 403


def test_audit_page_verifies(client_of: Clients, decisions: SampleLog) -> None:
    auditor = client_of(Role.AUDITOR)
    assert "decisions" in show(auditor, "/audit")
    html = auditor.post("/audit/verify", data={"log": "decisions"}).text
    assert "The hash chain and the MACs of all records are valid." in html
    first = list_segments(decisions.file.folder)[0]
    first.write_bytes(first.read_bytes().replace(b"grant", b"grand", 1))
    html = auditor.post("/audit/verify", data={"log": "decisions"}).text
    assert "finding" in html and "changed" in html
    assert auditor.post("/audit/verify", data={"log": "windows"}).status_code == 404


def test_audit_page_without_keys_says_so(
    client_of: Clients, decisions: SampleLog, console_config: TerminalConfig
) -> None:
    """The key is kept apart from the log, in a folder of root."""
    console_config.record_key_path(console_config.decisions_path).unlink()
    html = client_of(Role.AUDITOR).post("/audit/verify", data={"log": "decisions"}).text
    assert "Only the hash chain was checked" in html and "MACs of all records" not in html
