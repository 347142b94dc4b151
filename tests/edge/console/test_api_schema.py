"""Generated requests for each operation of the API: no server error, answers as documented."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings

from edge.config import load_config
from edge.console import problems
from edge.console.accounts.passwords import PasswordHasher
from edge.console.api import stream
from edge.console.api.app import create_api
from edge.console.api.document import PREFIX
from edge.console.context import build_console
from edge.console.permissions import current_principal
from edge.console.roles import ROLE_PERMISSIONS, Principal, Role
from tests.doors import RunningDoor
from tests.edge.console.conftest import CONFIG
from tests.edge.console.logs import SampleLog
from tests.people_answers import people_answers

schemathesis = pytest.importorskip("schemathesis")
EXAMPLES = 15


@pytest.fixture
def document(tmp_path: Path) -> Iterator[Any]:
    """Schema of a running API; requests come from an administrator."""
    path = tmp_path / "terminal.yaml"
    path.write_text(CONFIG)
    config = load_config(path)
    console = build_console(config, PasswordHasher(time_cost=1, memory_kib=64))
    door = RunningDoor(config.door_folder)
    log = SampleLog(config.decisions_path)
    log.fill(30)
    api = create_api(console)
    principal = Principal("administrator", ROLE_PERMISSIONS[Role.ADMINISTRATOR])
    api.dependency_overrides[current_principal] = lambda: principal
    app = FastAPI()
    app.mount(PREFIX, api)
    problems.install(app)  # for paths with a line break, which are not those of the API
    with pytest.MonkeyPatch.context() as patch, people_answers(config.people_socket_path):
        patch.setattr(stream, "HEARTBEAT_S", 0.01)
        patch.setattr(stream, "STREAM_MAX_S", 0.0)
        yield schemathesis.openapi.from_asgi(f"{PREFIX}/openapi.json", app)
    log.close()
    door.stop()
    console.close()


def test_operations_follow_the_schema(document: Any) -> None:
    checks = [
        getattr(schemathesis.checks, name)
        for name in (
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        )
    ]
    tested = 0
    for found in document.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        def follow(case: Any) -> None:
            case.call_and_validate(checks=checks)

        follow()
        tested += 1
    assert tested == 12
