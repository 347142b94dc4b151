"""Pages of people over a real edge-people: list, enrollment from photos, rights, removal."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from edge.console.context import Console
from edge.console.roles import Role
from edge.portraits import COLLINS, HOPPER
from tests.edge.console.conftest import Clients
from tests.edge.console.records import wait_for_event
from tests.people_service import photo_of


def enroll(client: TestClient, name: str, *photos: tuple[str, bytes], **form: str) -> int:
    fields = {"name": name, "source": "photos", **form}
    files = [("photos", photo) for photo in photos]
    return client.post("/people/enroll", data=fields, files=files).status_code


def test_person_enrolled_changed_and_erased(
    console: Console, client_of: Clients, service: Path
) -> None:
    client = client_of(Role.OPERATOR)
    form = {"groups": "staff, night", "valid_until": "2031-05-01", "consent": "form 12"}
    assert enroll(client, "Ada", photo_of(COLLINS), **form) == 303
    assert wait_for_event(console, "person-enrollment")["subject"] == "Ada"
    for search, is_shown in (("ada", True), ("NIGHT", True), ("zoe", False)):
        page = client.get("/people", params={"search": search})
        assert ("Ada</a>" in page.text) == is_shown
    page = client.get("/people/person", params={"name": "Ada"}).text
    assert 'value="staff, night"' in page and 'value="2031-05-01"' in page
    change = {"name": "Ada", "groups": "staff", "extended": "true", "reason": "moved"}
    assert client.post("/people/rights", data=change).status_code == 303
    page = client.get("/people/person", params={"name": "Ada"}).text
    assert 'value="staff"' in page and 'value="2031-05-01"' not in page and "checked" in page
    record = wait_for_event(console, "person-rights")
    assert (record["user"], record["reason"]) == ("operator", "moved")
    assert client.post("/people/rights", data=change).status_code == 409
    removal = {"name": "Ada", "reason": "left"}
    assert client.post("/people/remove", data=removal).status_code == 409
    assert client.post("/people/remove", data={**removal, "confirmed": "true"}).status_code == 303
    assert "No one is enrolled yet" in client.get("/people").text
    assert client.get("/people/person", params={"name": "Ada"}).status_code == 404


def test_refused_photos_are_explained(client_of: Clients, service: Path) -> None:
    client = client_of(Role.OPERATOR)
    fields = {"name": "Eve", "source": "photos", "groups": "staff"}
    for photos, reason in (
        ([("a.png", b"no photo")], "a.png: "),
        ([], "choose at least one photo"),
        ([("a.png", b"x" * (9 << 20))], "a.png: larger than 8 MiB"),
    ):
        answer = client.post(
            "/people/enroll", data=fields, files=[("photos", one) for one in photos] or None
        )
        assert answer.status_code in (409, 422) and reason in answer.text
        assert 'value="Eve"' in answer.text and 'value="staff"' in answer.text


def test_invalid_rights_are_explained(client_of: Clients, service: Path) -> None:
    client = client_of(Role.OPERATOR)
    for field, value in (("valid_from", "tomorrow"), ("max_uses", "0"), ("mode", "magic")):
        assert enroll(client, "Eve", photo_of(HOPPER), **{field: value}) == 422


def test_camera_without_recogniser(client_of: Clients, service: Path) -> None:
    with client_of(Role.OPERATOR) as client:  # one event loop for all requests
        started = client.post("/people/enroll", data={"name": "Eve", "source": "camera"})
        page = started.headers["location"]
        assert client.get(page).status_code == 200
        while (state := client.get(f"{page}/state")).status_code == 200:
            pass
        assert state.status_code == 286 and "edge-daemon does not run" in state.text
        assert client_of(Role.ADMINISTRATOR).get(page).status_code == 404


def test_pages_without_service_say_so(client_of: Clients) -> None:
    answer = client_of(Role.OPERATOR).get("/people")
    assert answer.status_code == 503 and "edge-people" in answer.text


def test_viewer_sees_no_people(client_of: Clients) -> None:
    for role in (Role.VIEWER, Role.AUDITOR):
        assert client_of(role).get("/people").status_code == 403


def test_large_upload_needs_a_login(client_of: Clients, anonymous: TestClient) -> None:
    photo = [("photos", ("a.png", b"x" * (2 << 20)))]
    form = {"name": "Eve", "source": "photos"}
    for client, status in ((anonymous, 413), (client_of(Role.VIEWER), 413)):
        assert client.post("/people/enroll", data=form, files=photo).status_code == status
