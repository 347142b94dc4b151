"""API of people over a real edge-people: one change for each key, problems with codes."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from edge.console.context import Console
from edge.console.roles import Role
from edge.portraits import COLLINS
from tests.edge.console.conftest import Clients
from tests.edge.console.records import events_of
from tests.people_service import photo_of

PEOPLE = "/api/v1/people"


def enroll(client: TestClient, key: str, photo: bytes, **form: str) -> tuple[int, dict[str, str]]:
    answer = client.post(
        PEOPLE,
        data={"name": "Ada", **form},
        files=[("photos", ("a.png", photo))],
        headers={"idempotency-key": key},
    )
    return answer.status_code, answer.json()


def test_person_is_enrolled_once_for_each_key(
    console: Console, client_of: Clients, service: Path
) -> None:
    client, (_, photo) = client_of(Role.OPERATOR), photo_of(COLLINS)
    first = enroll(client, "k1", photo, groups="staff", valid_until="2031-05-01")
    assert first == (200, {"name": "Ada", "templates": 1, "left_out": []})
    assert enroll(client, "k1", photo, groups="staff", valid_until="2031-05-01") == first
    assert events_of(console).count("person-enrollment") == 1
    assert enroll(client, "k1", photo, groups="night")[1]["code"] == "key-reused"
    (ada,) = client.get(PEOPLE, params={"search": "staff"}).json()["people"]
    assert (ada["name"], ada["rights"]["valid_until"]) == ("Ada", "2031-05-01")
    body = {"reason": "moved", "rights": {"groups": [], "mode": "card-and-face"}}
    headers = {"idempotency-key": "k2"}
    assert client.patch(f"{PEOPLE}/Ada", json=body, headers=headers).status_code == 200
    rights = client.get(f"{PEOPLE}/Ada").json()["rights"]
    assert (rights["groups"], rights["mode"], rights["valid_until"]) == (
        [],
        "card-and-face",
        "2031-05-01",
    )
    headers = {"idempotency-key": "k3"}
    answer = client.delete(f"{PEOPLE}/Ada", params={"reason": "left"}, headers=headers)
    assert (answer.status_code, answer.json()["templates"]) == (200, 1)
    again = client.delete(f"{PEOPLE}/Ada", params={"reason": "left"}, headers=headers)
    assert again.json() == answer.json() and again.headers["idempotent-replayed"] == "true"
    assert client.get(f"{PEOPLE}/Ada").json()["code"] == "not-enrolled"


def test_refused_changes_are_problems(client_of: Clients, service: Path) -> None:
    client = client_of(Role.OPERATOR)
    status, problem = enroll(client, "k1", b"no photo")
    assert (status, problem["code"]) == (409, "unreadable")
    headers = {"idempotency-key": "k2"}
    answer = client.delete(f"{PEOPLE}/Zoe", params={"reason": "left"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-enrolled")
    assert answer.headers["content-type"] == "application/problem+json"
    body = {"reason": "moved", "rights": {}}
    answer = client.patch(f"{PEOPLE}/Zoe", json=body, headers={"idempotency-key": "k3"})
    assert answer.status_code == 409 and "no right is different" in answer.json()["detail"]


def test_unavailable_service_uses_no_key(console: Console, client_of: Clients) -> None:
    client = client_of(Role.OPERATOR)
    for _ in range(2):
        headers = {"idempotency-key": "k1"}
        answer = client.delete(f"{PEOPLE}/Ada", params={"reason": "left"}, headers=headers)
        assert answer.status_code == 503 and "edge-people" in answer.json()["detail"]
