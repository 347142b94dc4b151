"""Checks of the health page: what works, and what an administrator must do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge.console.context import Console
from edge.console.tls import RENEW_BEFORE, certificate_files, fingerprint, remaining, utc_now
from edge.console.translation import mark
from edge.errors import ConfigError

_FREE_MB = 200


@dataclass(frozen=True, slots=True)
class HealthItem:
    """Line of the health page; `text` is translated, then gets the values."""

    name: str
    state: Literal["good", "warn", "bad"]
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


def check_health(console: Console, door: Mapping[str, Any] | None) -> Iterator[HealthItem]:
    """Yield the state of each part; `door` is the status of the door, if it answers."""
    config = console.config
    yield _door_item(door)
    yield _socket_item(config.live_socket_path)
    yield _log_item(mark("Log of decisions"), config.decisions_path)
    yield _log_item(mark("Log of the door"), config.door_record_path)
    yield _certificate_item(console)
    yield _disk_item(console.settings.folder)
    users = console.accounts.users.list_all()
    without = [user.name for user in users if user.state == "active" and not user.totp]
    values = {"count": len(users), "without": len(without)}
    text = mark("%(count)s users, %(without)s of them without an authenticator app")
    yield HealthItem(mark("Users"), "good", text, values)


def _door_item(door: Mapping[str, Any] | None) -> HealthItem:
    name = mark("Door process")
    if door is None:
        text = mark("does not answer; is edge-door running, and this account in door.operators?")
        return HealthItem(name, "bad", text)
    alarms = ", ".join(map(str, door.get("alarms", ())))
    if alarms:
        return HealthItem(name, "warn", mark("alarms: %(alarms)s"), {"alarms": alarms})
    return HealthItem(name, "good", "%(state)s", {"state": door.get("state", "-")})


def _socket_item(path: Path) -> HealthItem:
    name = mark("Recogniser")
    if path.exists():
        return HealthItem(name, "good", mark("running"))
    return HealthItem(name, "bad", mark("no live view; is edge-daemon running?"))


def _log_item(name: str, folder: Path) -> HealthItem:
    if os.access(folder, os.R_OK | os.X_OK):
        return HealthItem(name, "good", mark("readable"))
    text = mark("%(path)s: missing, or this account may not read it")
    return HealthItem(name, "bad", text, {"path": folder})


def _certificate_item(console: Console) -> HealthItem:
    name, files = mark("Certificate"), certificate_files(console.settings)
    try:
        certificate = files.read()
    except ConfigError as error:
        return HealthItem(name, "bad", "%(error)s", {"error": error})
    left = remaining(certificate, utc_now())
    values = {
        "day": f"{certificate.not_valid_after_utc:%Y-%m-%d}",
        "digest": fingerprint(certificate),
    }
    text = mark("valid until %(day)s; SHA-256 %(digest)s")
    if left > RENEW_BEFORE:
        return HealthItem(name, "good", text, values)
    return HealthItem(name, "warn" if left.total_seconds() > 0 else "bad", text, values)


def _disk_item(folder: Path) -> HealthItem:
    space = os.statvfs(folder)
    free_mb = space.f_bavail * space.f_frsize >> 20
    state: Literal["good", "bad"] = "good" if free_mb > _FREE_MB else "bad"
    return HealthItem(mark("Disk"), state, mark("%(free)s MB free"), {"free": free_mb})
