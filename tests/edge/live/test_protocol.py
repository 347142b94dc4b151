"""Messages of the live socket, and their description."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from pydantic import BaseModel

from edge.errors import RecogniserError
from edge.live import protocol
from edge.live.protocol import (
    LiveDoorAnswer,
    LiveFace,
    LiveHistogram,
    LiveStatistics,
    LiveView,
    encode_header,
    encode_view,
    parse_header,
    parse_view,
)
from edge.recogniser.loop_statistics import EDGES_S
from tests.live import make_message, make_scene

PAGE = Path(__file__).resolve().parents[3] / "docs" / "live-socket.md"
VIEW = make_message(make_scene(None)).view()


def test_view_survives_the_socket() -> None:
    view = parse_view(VIEW)
    assert encode_view(view) == VIEW and view.stats.supported_templates == 1000
    sizes = parse_header(encode_header(VIEW, b"jpeg"))
    assert (sizes.view, sizes.picture) == (len(VIEW), 4)


def test_unknown_keys_of_a_view_are_ignored() -> None:
    newer = VIEW[:-1] + b',"new": {"key": 1}}'
    assert parse_view(newer) == parse_view(VIEW)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", VIEW.replace(b'"ready"', b'"asleep"'), VIEW + VIEW, b"\xff"]
)
def test_invalid_view_is_refused(content: bytes) -> None:
    with pytest.raises(RecogniserError, match="not a valid view"):
        parse_view(content)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (struct.pack("<4sBIQ", b"LIVE", 2, 1, 0), "version 1"),
        (struct.pack("<4sBIQ", b"EVIL", 1, 1, 0), "version 1"),
        (struct.pack("<4sBIQ", b"LIVE", 1, 1 << 30, 0), "larger than"),
        (struct.pack("<4sBIQ", b"LIVE", 1, 1, 1 << 60), "larger than"),
    ],
)
def test_invalid_header_is_refused(header: bytes, why: str) -> None:
    with pytest.raises(RecogniserError, match=why):
        parse_header(header)


@pytest.mark.parametrize(
    "model", [LiveView, LiveFace, LiveDoorAnswer, LiveStatistics, LiveHistogram]
)
def test_each_key_is_documented(model: type[BaseModel]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in model.model_fields if f"| `{name}` |" not in page]
    assert not missing
    undescribed = [name for name, field in model.model_fields.items() if not field.description]
    assert not undescribed


def test_limits_and_edges_are_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"version {protocol.VERSION}" in page and f"{protocol.CLIENTS_MAX} clients" in page
    assert ", ".join(f"{edge:g}" for edge in EDGES_S) in page
