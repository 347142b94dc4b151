"""Server of both applications in one process."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import uvicorn

from edge.console.app import create_app
from edge.console.context import Console
from edge.console.kiosk_app import create_kiosk_app
from edge.console.settings import LOOPBACK
from edge.errors import ConfigError
from edge.system.systemd import SystemdNotifier

_ALIVE_S = 2.0


class _Server(uvicorn.Server):
    """Server whose signals are handled by `serve` for both listeners."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"console: cannot listen at {host} port {port}: {error.strerror or error}; choose "
            "another `listen` or `kiosk_port`, or stop the other program"
        ) from error
    return listener


def _build_server(app: object, **options: object) -> _Server:
    return _Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            **options,  # type: ignore[arg-type]
        )
    )


async def serve(console: Console) -> None:
    """Serve until SIGTERM or SIGINT; raises ConfigError if a port is in use."""
    settings = console.settings
    listeners = [(_build_server(create_app(console)), _listen(settings.host, settings.port))]
    if settings.kiosk_port is not None:
        kiosk = _build_server(create_kiosk_app(console))
        listeners.append((kiosk, _listen(LOOPBACK, settings.kiosk_port)))

    def stop() -> None:
        for server, _ in listeners:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    notifier = SystemdNotifier()
    tasks = [asyncio.create_task(_ping([server for server, _ in listeners], notifier))]
    try:
        await asyncio.gather(*(server.serve([listener]) for server, listener in listeners))
    finally:
        tasks[0].cancel()
        notifier.stopping()
        notifier.close()


async def _ping(servers: list[_Server], notifier: SystemdNotifier) -> None:
    """Report readiness once all servers accept requests; ping the watchdog of systemd."""
    while not all(server.started for server in servers):
        await asyncio.sleep(0.05)
    notifier.ready()
    while True:
        notifier.alive()
        await asyncio.sleep(_ALIVE_S)
