"""MQTT task of the console in a thread, at a real broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.config.mqtt import MqttConfig
from edge.console.context import Console
from edge.console.tasks import cancel_all
from tests.mqtt_broker import PASSWORD, USER, Broker

BASE = "mfsa-edge/terminal"
EVENTS = f"{BASE}/event/"
DOOR = f"{BASE}/door/main"


def write_password(folder: Path, password: str = PASSWORD) -> Path:
    path = folder / "mqtt.password"
    path.write_text(f"{password}\n")
    path.chmod(0o600)
    return path


def mqtt_config(broker: Broker, **changes: Any) -> MqttConfig:
    """Return the configuration for a broker, with changes."""
    fields = {
        "host": "127.0.0.1",
        "port": broker.port,
        "ca": broker.folder / "ca.crt",
        "user": USER,
        "password_file": write_password(broker.folder),
    }
    return MqttConfig(**{**fields, **changes})


@contextmanager
def running_bridge(console: Console, config: MqttConfig) -> Iterator[None]:
    """Run the task; cancel it at the end."""
    from edge.console.mqtt.bridge import MqttBridge

    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(MqttBridge(console, config).run())
        started.append((asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await cancel_all([task])

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loop, stop = started[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
