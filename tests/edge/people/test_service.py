"""Requests of edge-people to the real service: photos, list, rights, removal, hostile input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config import load_config
from edge.people.service import SOCKET_MODE
from edge.people_protocol import (
    REQUEST_MAX,
    DoneEvent,
    EnrollCameraRequest,
    EnrollPhotosRequest,
    ListRequest,
    PhotoPart,
    PictureRequest,
    RefusedEvent,
    RemoveRequest,
    RightsBody,
    SetRightsRequest,
)
from edge.portraits import COLLINS, HOPPER
from tests.edge.people.helpers import listed
from tests.people_service import CALL, PeopleClient, call, finish, people_service, photo_of
from tests.processes import TIMEOUT_S

LIST = ListRequest(**CALL, kind="list")


@pytest.fixture(scope="module")
def config_path(tmp_path_factory: pytest.TempPathFactory, bundle_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("people")
    path = folder / "terminal.yaml"
    path.write_text(
        f"bundle: {bundle_path}\nstate: state\ncamera: {{kind: replay, path: clip}}\n"
        "liveness: {kind: none}\ndoor: {state: door}\n"
    )
    (folder / "state").mkdir(mode=0o700)
    (folder / "door").mkdir(mode=0o750)
    return path


@pytest.fixture(scope="module")
def service(config_path: Path) -> Iterator[Path]:
    with people_service(config_path) as path:
        yield path


def enroll(path: Path, name: str, *photos: bytes, **fields: object) -> DoneEvent | RefusedEvent:
    parts = [PhotoPart(name=f"{n}.png", size=len(one)) for n, one in enumerate(photos)]
    request = EnrollPhotosRequest(**CALL, kind="enroll-photos", name=name, photos=parts, **fields)
    return finish(path, request, b"".join(photos))


def test_list_of_new_terminal_is_empty(
    write_config: Callable[..., Path],
) -> None:
    with people_service(write_config()) as path:
        assert call(path, LIST) == [DoneEvent()]


def test_person_is_enrolled_changed_and_removed(service: Path) -> None:
    rights = RightsBody(groups=("staff",))
    done = enroll(service, "Ada", photo_of(COLLINS)[1], rights=rights, consent="form 12")
    assert done == DoneEvent(templates=1)
    (ada,) = listed(service)
    assert (ada.name, ada.templates, ada.rights) == ("Ada", 1, RightsBody(groups=("staff",)))
    assert ada.consent_on is not None and (ada.cards, ada.has_pin) == (0, False)
    change = {"reason": "leaves", "rights": RightsBody(extended=True)}
    assert finish(service, SetRightsRequest(**CALL, kind="set-rights", name="Ada", **change))
    assert listed(service)[0].rights == RightsBody(groups=("staff",), extended=True)
    removal = RemoveRequest(**CALL, kind="remove", name="Ada", reason="has left")
    assert finish(service, removal) == DoneEvent(templates=1)
    assert listed(service) == []
    assert finish(service, removal).code == "not-enrolled"


def test_refused_photo_stores_nothing(service: Path, config_path: Path) -> None:
    refused = enroll(
        service, "Eve", photo_of(HOPPER)[1], b"no photo", rights=RightsBody(groups=("a",))
    )
    assert isinstance(refused, RefusedEvent) and refused.code == "unreadable"
    assert [one.photo for one in refused.photos] == ["1.png"]
    assert listed(service) == []
    people = load_config(config_path).people_path
    assert "Eve" not in people.read_text()


def test_second_name_of_a_person_is_refused(service: Path) -> None:
    enroll(service, "Grace", photo_of(HOPPER)[1])
    refused = enroll(service, "Other", photo_of(HOPPER)[1])
    assert isinstance(refused, RefusedEvent) and refused.code == "already-enrolled"
    removal = RemoveRequest(**CALL, kind="remove", name="Grace", reason="end of test")
    assert isinstance(finish(service, removal), DoneEvent)


def test_camera_needs_the_recogniser(service: Path) -> None:
    request = EnrollCameraRequest(**CALL, kind="enroll-camera", name="Eve")
    assert finish(service, request).code == "no-recogniser"


def test_missing_picture_is_refused(service: Path) -> None:
    enroll(service, "Ada", photo_of(COLLINS)[1])
    for log in ("decisions", "decisions-lane9"):
        request = PictureRequest(**CALL, kind="picture", log=log, number=7)
        assert finish(service, request).code == "no-picture"
    finish(service, RemoveRequest(**CALL, kind="remove", name="Ada", reason="end of test"))


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"GET / HTTP/1.1\n",
        b'{"v":2,"kind":"list","user":"ada"}\n',
        b'{"v":1,"kind":"list"}\n',
        b'{"v":1,"kind":"list","user":""}\n',
        b'{"v":1,"kind":"list","user":"ada\\u0000"}\n',
        b'{"v":1,"kind":"list","user":"ada","user":"eve"}\n',
        b'{"v":1,"kind":"list","user":"ada","more":1}\n',
        b'{"v":1,"kind":"drop","user":"ada"}\n',
        b'{"v":1,"kind":"remove","user":"ada","name":"' + b"x" * 200 + b'","reason":"r"}\n',
        b'{"v":1,"kind":"remove","user":"ada","name":"Ada\\n","reason":"r"}\n',
        b'{"v":1,"kind":"set-rights","user":"ada","name":"Ada","reason":"r","rights":{}}\n',
        b'{"v":1,"kind":"set-rights","user":"ada","name":"Ada","reason":"r","rights":{"x":1}}\n',
        b'{"v":1,"kind":"picture","user":"ada","log":"../gallery","number":1}\n',
        b'{"v":1,"kind":"picture","user":"ada","log":"decisions","number":-1}\n',
        b"\xff" * (REQUEST_MAX + 1),
        b"[" * 10_000 + b"\n",
    ],
)
def test_invalid_request_is_refused(service: Path, line: bytes) -> None:
    refused = finish(service, line)
    assert isinstance(refused, RefusedEvent) and refused.code == "invalid-request"


def test_photos_are_limited(service: Path) -> None:
    photo = {"name": "a", "size": 5 << 20}
    body = {**CALL, "kind": "enroll-photos", "name": "Eve"}
    for photos in ([{"name": "a", "size": 1 << 30}], [photo] * 5, [], [{"name": "a", "size": 0}]):
        line = json.dumps({**body, "photos": photos}).encode() + b"\n"
        assert finish(service, line).code == "invalid-request"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can use another account")
def test_other_account_is_refused(service: Path) -> None:
    """The account is checked even if the socket lets everyone connect."""
    code = (
        "import os, socket, sys\n"
        "peer = socket.socket(socket.AF_UNIX)\n"
        "os.setgroups([])\n"
        "os.setgid(65534)\n"
        "os.setuid(65534)\n"
        "try: peer.connect(sys.argv[1])\n"
        "except PermissionError: sys.exit('denied')\n"
        'peer.sendall(b\'{"v":1,"kind":"list","user":"ada"}\\n\')\n'
        "peer.shutdown(socket.SHUT_WR)\n"
        "print(peer.makefile().read())\n"
    )
    service.parent.chmod(0o711)
    said = []
    for mode in (SOCKET_MODE, 0o666):
        service.chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", code, str(service)],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        said.append(done.stderr.strip() or json.loads(done.stdout)["code"])
    assert said == ["denied", "wrong-account"]


def test_incomplete_photos_are_no_enrollment(service: Path) -> None:
    parts = [PhotoPart(name="a.png", size=5000)]
    request = EnrollPhotosRequest(**CALL, kind="enroll-photos", name="Eve", photos=parts)
    PeopleClient(service, request, b"only a part").close()
    assert listed(service) == []
