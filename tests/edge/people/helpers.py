"""List of the people of a service."""

from __future__ import annotations

from pathlib import Path

from edge.people_protocol import ListRequest, PersonEvent
from tests.people_service import CALL, call


def listed(path: Path) -> list[PersonEvent]:
    events = call(path, ListRequest(**CALL, kind="list"))
    return [event for event in events if isinstance(event, PersonEvent)]
