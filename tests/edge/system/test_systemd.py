from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edge.system.systemd import SystemdNotifier


def test_notifier_sends_messages(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        notifier = SystemdNotifier(str(path))
        notifier.ready()
        notifier.alive("3 frames")
        notifier.stopping()
        assert [systemd.recv(200) for _ in range(3)] == [
            b"READY=1",
            b"WATCHDOG=1\nSTATUS=3 frames",
            b"STOPPING=1",
        ]
        notifier.close()
        notifier.alive()


def test_notifier_removes_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    SystemdNotifier().close()
    assert "NOTIFY_SOCKET" not in os.environ


def test_notifier_without_systemd_does_nothing(tmp_path: Path) -> None:
    SystemdNotifier("").ready()
    gone = SystemdNotifier(str(tmp_path / "gone"))
    gone.alive()
    gone.close()
    assert not (tmp_path / "gone").exists()
