"""`edge-door`: the process that owns the lock."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.writer import AuditLogWriter
from edge.cli import common, door_check, door_commands, door_people, door_simulate
from edge.cli.door_status import status_lines
from edge.config import TerminalConfig, load_config
from edge.config.lane import DEFAULT_DOOR
from edge.config.restart import check_unchanged
from edge.door import hardware
from edge.door.client import DoorClient
from edge.door.config_reloader import ConfigReloader
from edge.door.paths import build_paths
from edge.door.readers.opening import open_readers
from edge.door.record import load_previous_run
from edge.door.safe_state import force_safe_state
from edge.door.service import DoorService
from edge.door.settings import build_settings
from edge.errors import ConfigError, MfsaError
from edge.system.accounts import acting_as_owner
from edge.system.atomic_files import make_folder
from edge.system.lockfile import acquire_lock
from edge.system.systemd import SystemdNotifier

log = logging.getLogger(__name__)

_ALIVE_S = 0.5  # a quarter of the watchdog's time
_PAUSE_S = 5.0  # before a failed start that systemd repeats without end

_EXAMPLES = """\
edge-door check --config /etc/mfsa-edge/terminal.yaml
  edge-door status --config /etc/mfsa-edge/terminal.yaml
  edge-door person list --config /etc/mfsa-edge/terminal.yaml
  edge-door unlock --config /etc/mfsa-edge/terminal.yaml --reason "delivery"
  edge-door trust-clock --config /etc/mfsa-edge/terminal.yaml --reason "compared with a phone\""""


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-door",
        "Run the process that owns the door's relay, or send it a command.",
        _EXAMPLES,
    )
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar=f"run|safe-state|check|status|person|{door_simulate.NAME}|"
        f"{'|'.join(door_commands.NAMES)}",
    )
    for name, action, text in (
        ("run", _run, "run the door until SIGTERM; it is locked at start and end"),
        (
            "safe-state",
            _force_safe_state,
            "de-energise lock and alarm relay after the process ended; systemd calls it",
        ),
        ("check", door_check.check, "check the configuration; systemd calls it before a reload"),
        ("status", _show_status, "show if the door is locked, and why"),
    ):
        sub = commands.add_parser(name, help=text)
        add_files = common.add_configs if name == "check" else common.add_config
        add_files(sub)
        sub.set_defaults(action=action)
        if name == "status":
            sub.add_argument("--json", action="store_true", help="for programs")
    door_people.add_commands(commands)
    door_simulate.add_command(commands)
    door_commands.add_commands(commands)
    args = parser.parse_args(argv)
    return common.run("edge-door", lambda: int(args.action(args)))


class SignalRequests:
    """Requests by signals.

    Plain attributes: a handler that takes a lock may wait for the code that it interrupts.
    """

    def __init__(self) -> None:
        self.stop = self.reload = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.handle)

    def handle(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.stop = True


def _run(args: argparse.Namespace) -> int:
    config = _load(args.config)
    requests = SignalRequests()
    requests.install()
    common.log_in_background()
    _make_socket_folder(config)
    # Before hardware and audit log.
    lock = acquire_lock(config.door_lock_path, "edge-door", "door.name")
    notifier = SystemdNotifier()
    service = _open(config)
    try:
        _loop(service, config, ConfigReloader(args.config), requests, notifier)
    finally:
        service.close()
        notifier.close()
        os.close(lock)
    return common.DONE


def _make_socket_folder(config: TerminalConfig) -> None:
    """Make the folder of a door with a name; the group may enter it, to reach the socket.

    The lock file reports a folder that cannot be made.
    """
    folder = config.socket_path.parent
    if config.door.name != DEFAULT_DOOR:
        with contextlib.suppress(OSError), acting_as_owner(folder):
            make_folder(folder.parent, 0o750)
            make_folder(folder, 0o750)


def _load(path: Path) -> TerminalConfig:
    """Load the configuration. Raises ConfigError, after a pause if systemd started the process.

    systemd repeats a failed start at once and without end; each start takes over a second of a
    small processor. The door is locked during the pause: systemd has run `edge-door safe-state`.
    """
    try:
        return load_config(path)
    except ConfigError as error:
        if os.environ.get("NOTIFY_SOCKET"):
            print(
                f"edge-door: locked until the configuration is fixed: {error}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(_PAUSE_S)
        raise


def _open(config: TerminalConfig) -> DoorService:
    """Open the hardware first: the door is locked whatever else fails. Raises DoorError."""
    hardware.save_outputs(hardware.configured_outputs(config.door), config.door_outputs_path)
    opened = hardware.open_hardware(config.door)
    try:
        log_writer = AsyncLogWriter(
            lambda: AuditLogWriter(
                config.door_record_path, log_id=config.log_id(config.door_record_path)
            )
        )
        readers = open_readers(config.door.readers, config.door.panel, time.monotonic)
    except BaseException:
        opened.close()
        raise
    try:
        return DoorService(
            build_settings(config),
            opened,
            log_writer,
            build_paths(config),
            readers,
            previous=load_previous_run(config.door_record_path),
        )
    except BaseException:
        opened.close()
        readers.close()
        raise


def _loop(
    service: DoorService,
    config: TerminalConfig,
    reloader: ConfigReloader,
    requests: SignalRequests,
    notifier: SystemdNotifier,
) -> None:
    """Run the service until a signal stops it."""
    notifier.ready()
    log.info("ready: %s", _status_line(service))
    alive_at = -math.inf
    while not requests.stop:
        service.step()
        if (now := time.monotonic()) - alive_at >= _ALIVE_S:
            alive_at = now
            notifier.alive(_status_line(service))
        if requests.reload:
            requests.reload = False
            notifier.reloading()
            reloader.start()
        config = _reload(reloader, config, service, notifier)


def _status_line(service: DoorService) -> str:
    """Return the line for `systemctl status`."""
    status = service.status()
    refused = status["reload_refused"]
    suffix = f"; configuration refused: {refused}" if refused else ""
    return " ".join(f"{status['state']} ({status['reason']}){suffix}".split())


def _reload(
    reloader: ConfigReloader,
    config: TerminalConfig,
    service: DoorService,
    notifier: SystemdNotifier,
) -> TerminalConfig:
    """Apply a reloaded configuration completely or not at all; return the one that applies."""
    try:
        result = reloader.poll()
        if result is None:
            return config
        reloaded, settings = result
        check_unchanged(config, reloaded, "door")
        service.reload(settings)
        log.info("configuration reloaded")
    except MfsaError as error:
        log.error("configuration not reloaded: %s", error)
        service.refuse_reload(str(error))
        reloaded = config
    notifier.ready()
    return reloaded


def _force_safe_state(args: argparse.Namespace) -> int:
    force_safe_state(args.config)
    print("the door's outputs are de-energised")
    return common.DONE


def _show_status(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        status = client.status()
    finally:
        client.close()
    print(json.dumps(status) if args.json else "\n".join(status_lines(status)))
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
