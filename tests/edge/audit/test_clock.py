"""Persistence of the trust in the clock."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.audit.clock import load_trust, read_trust, trust_from_records, write_trust
from edge.audit.reader import read_log
from edge.audit.writer import AuditLogWriter
from edge.config import load_config
from edge.system.wallclock import DAY_S, ClockTrust, WallClock

NOW = 1.8e9
TRUST = {"event": "clock-trusted", "wall": NOW, "clock_confirmed": [NOW, "b1"]}


@pytest.mark.parametrize(
    ("tail", "trust"),
    [
        ([], ClockTrust()),
        ([{"wall": NOW}, {"wall": NOW - 5}], ClockTrust(NOW)),
        ([{"wall": NOW + 9e8, "latest_believed": NOW}, {"wall": NOW - 5}], ClockTrust(NOW)),
        ([{"wall": NOW + 1}, TRUST, {"wall": NOW + 9e8}], ClockTrust(NOW + 1, NOW, "b1")),
        ([{**TRUST, "latest_believed": NOW + 9e8}], ClockTrust(NOW, NOW, "b1")),
        ([{"wall": "late", "clock_confirmed": 7}, {"wall": -1}, {"wall": 1e300}], ClockTrust()),
    ],
)
def test_trust_is_read_from_tail(tail: list[dict[str, Any]], trust: ClockTrust) -> None:
    assert trust_from_records(tail) == trust


def test_trust_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    clock = WallClock(read=lambda: NOW)
    assert clock.confirm() is None
    write_trust(path, clock)
    kept = read_trust(path)
    assert kept is not None and abs(kept.latest - NOW) < 60 and kept.confirmed == NOW


@pytest.mark.parametrize("content", [b"", b"[]", b'{"latest": "x"}', b" " * 5000, None])
def test_damaged_clock_file_is_ignored(
    write_config: Callable[..., Path], content: bytes | None
) -> None:
    config = load_config(write_config())
    log = AuditLogWriter(config.decisions_path, wall=lambda: NOW)
    log.append({"kind": "started"})
    log.close()
    if content is None:
        os.mkfifo(config.clock_path)
    else:
        config.clock_path.write_bytes(content)
    assert load_trust(config) == ClockTrust(NOW)


def test_record_in_doubt_is_marked(tmp_path: Path) -> None:
    """A clock ten years ahead does not become the latest believed time by being recorded."""
    for day in (0, 3650, 3651, 1):
        wall = itertools.repeat(NOW + day * DAY_S)
        log = AuditLogWriter(tmp_path / "log", wall=wall.__next__)
        log.append({"kind": "started"})
        log.close()
    assert ["latest_believed" in r for r in read_log(tmp_path / "log")] == [
        False,
        True,
        True,
        False,
    ]
