"""Server of both applications in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Iterator

import uvicorn

from edge.console.app import create_app
from edge.console.connections import ConnectionLimit, LimitedListener
from edge.console.context import Console
from edge.console.events import ConsoleEvent
from edge.console.kiosk_app import create_kiosk_app
from edge.console.mqtt.start import build_bridge
from edge.console.settings import LOOPBACK
from edge.console.tasks import cancel_all
from edge.console.tls import certificate_files, fingerprint, prepare_certificate, utc_now
from edge.errors import ConfigError, MfsaError
from edge.system.systemd import SystemdNotifier

log = logging.getLogger(__name__)

_ALIVE_S = 2.0
_PENDING_S = 2.0  # between two searches for records of commands
_CONNECTIONS_MAX, _NETWORK_CONNECTIONS_MAX = 256, 64
_WS_MESSAGE_MAX = 256  # bytes; browsers send acknowledgements only


class _Server(uvicorn.Server):
    """Server whose signals are handled by `serve` for both listeners."""

    @property
    def address(self) -> str:
        """Address of the pages."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"{'https' if self.config.is_ssl else 'http'}://{host}:{port}"

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens with a limit of connections; raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = LimitedListener(family, socket.SOCK_STREAM)
    listener.limit = ConnectionLimit(_CONNECTIONS_MAX, _NETWORK_CONNECTIONS_MAX)
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
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
            http="h11",  # limits the size of headers; httptools does not
            ws_max_size=_WS_MESSAGE_MAX,
            ws_max_queue=4,
            ws_per_message_deflate=False,  # pictures are compressed already
            **options,  # type: ignore[arg-type]
        )
    )


async def serve(console: Console) -> None:
    """Serve until SIGTERM or SIGINT; raises ConfigError if a port is in use."""
    settings = console.settings
    tls, bridge = _prepare_tls(console), build_bridge(console)
    operators = _build_server(create_app(console), ssl_context_factory=lambda *_: tls)
    listeners = [(operators, _listen(settings.host, settings.port))]
    if settings.kiosk_port is not None:
        kiosk = _build_server(create_kiosk_app(console))
        listeners.append((kiosk, _listen(LOOPBACK, settings.kiosk_port)))

    def stop() -> None:
        for server, _ in listeners:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    notifier = SystemdNotifier()
    tasks = [
        asyncio.create_task(_ping([server for server, _ in listeners], notifier)),
        asyncio.create_task(_write_pending(console)),
    ]
    if bridge is not None:
        tasks.append(asyncio.create_task(bridge.run()))
    try:
        await asyncio.gather(*(server.serve([listener]) for server, listener in listeners))
    finally:
        notifier.stopping()
        await cancel_all(tasks)
        notifier.close()


async def _ping(servers: list[_Server], notifier: SystemdNotifier) -> None:
    """Report readiness once all servers accept requests; ping the watchdog of systemd."""
    while not all(server.started for server in servers):
        await asyncio.sleep(0.05)
    notifier.ready()
    log.info("listening at %s", ", ".join(server.address for server in servers))
    while True:
        notifier.alive()
        await asyncio.sleep(_ALIVE_S)


async def _write_pending(console: Console) -> None:
    """Write the records that commands leave."""
    while True:
        try:
            await asyncio.to_thread(console.accounts.write_pending)
        except MfsaError as error:
            log.error("records of commands wait: %s", error)
        await asyncio.sleep(_PENDING_S)


def _prepare_tls(console: Console) -> ssl.SSLContext:
    """Return the settings of TLS; raises ConfigError. A new certificate is recorded."""
    files = certificate_files(console.settings)
    if prepare_certificate(console.settings, utc_now()):
        digest = fingerprint(files.read())
        log.info("new certificate, SHA-256 %s", digest)
        console.accounts.audit.append(ConsoleEvent.CERTIFICATE_MADE, "", note=digest)
    return files.server_context()
