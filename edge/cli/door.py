"""`edge-door`: the process that owns the lock."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from edge.audit.async_writer import AsyncLogWriter
from edge.audit.writer import AuditLogWriter
from edge.cli import common
from edge.codes import sentence_of
from edge.config import TerminalConfig, load_config
from edge.config.restart import check_unchanged
from edge.door import hardware
from edge.door.access_settings import build_paths
from edge.door.client import DoorClient
from edge.door.clock_trust import TRUST_CLOCK, describe_doubt
from edge.door.config_reloader import ConfigReloader
from edge.door.controller import OperatorCommand
from edge.door.events import DoorAlarm, LockReason, describe_refusal
from edge.door.protocol import check_reason
from edge.door.readers.opening import open_readers
from edge.door.record import load_previous_run
from edge.door.safe_state import force_safe_state
from edge.door.service import DoorService
from edge.door.settings import build_settings
from edge.errors import ConfigError, DoorError, MfsaError
from edge.system.lockfile import acquire_lock
from edge.system.systemd import SystemdNotifier
from edge.system.wallclock import REMEDY, ClockDoubt

log = logging.getLogger(__name__)

_ALIVE_S = 0.5  # a quarter of the watchdog's time
_PAUSE_S = 5.0  # before a failed start that systemd repeats without end

_COMMANDS = {
    OperatorCommand.UNLOCK.value: "unlock once, for one pulse",
    OperatorCommand.HOLD.value: "hold the door unlocked until it is released",
    OperatorCommand.LOCKDOWN.value: "unlock only for exit button and fire, until it is released",
    OperatorCommand.RELEASE.value: "end hold and lockdown",
    OperatorCommand.RESET_FIRE.value: "end the fire state once its input is inactive",
    OperatorCommand.RESET_TAMPER.value: "end the tamper alarm once the case is closed",
    TRUST_CLOCK: "trust the clock as it is now, in both processes: you checked that it is right",
}
_EXAMPLES = """\
edge-door check --config /etc/mfsa-edge/terminal.yaml
  edge-door status --config /etc/mfsa-edge/terminal.yaml
  edge-door unlock --config /etc/mfsa-edge/terminal.yaml --reason "delivery"
  edge-door trust-clock --config /etc/mfsa-edge/terminal.yaml --reason "compared with a phone\""""


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-door",
        "Run the process that owns the door's relay, or send it a command.",
        _EXAMPLES,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar=f"run|safe-state|check|status|{'|'.join(_COMMANDS)}"
    )
    run = commands.add_parser(
        "run", help="run the door until SIGTERM; it is locked at start and end"
    )
    safe_state = commands.add_parser(
        "safe-state",
        help="de-energise lock and alarm relay after the process ended; systemd calls it",
    )
    check = commands.add_parser(
        "check", help="check the configuration; systemd calls it before a reload"
    )
    status = commands.add_parser("status", help="show if the door is locked, and why")
    operator = {name: commands.add_parser(name, help=text) for name, text in _COMMANDS.items()}
    for sub in (run, safe_state, check, status, *operator.values()):
        common.add_config(sub)
    for sub in operator.values():
        sub.add_argument(
            "--reason", type=_reason, required=True, metavar="TEXT", help="why, for the audit log"
        )
    status.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args(argv)
    actions = {
        "run": _run,
        "safe-state": _force_safe_state,
        "check": _check,
        "status": _show_status,
    }
    return common.run("edge-door", lambda: actions.get(args.command, _send_command)(args))


def _reason(text: str) -> str:
    try:
        check_reason(text)
    except DoorError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


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
    lock = acquire_lock(config.door_lock_path, "edge-door")  # before hardware and audit log
    notifier = SystemdNotifier()
    service = _open(config)
    try:
        _loop(service, config, ConfigReloader(args.config), requests, notifier)
    finally:
        service.close()
        notifier.close()
        os.close(lock)
    return common.DONE


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
            lambda: AuditLogWriter(config.door_record_path, log_id=f"{config.terminal}/door")
        )
        readers = open_readers(config.door.readers, time.monotonic)
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


def _check(args: argparse.Namespace) -> int:
    build_settings(load_config(args.config)).check_accounts()
    print("the configuration is valid")
    return common.DONE


def _force_safe_state(args: argparse.Namespace) -> int:
    force_safe_state(args.config)
    print("the door's outputs are de-energised")
    return common.DONE


def _send_command(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        refused = client.command(args.command, args.reason)
    finally:
        client.close()
    if refused is not None:
        raise DoorError(f"{args.command}: the door refused: {describe_refusal(refused)}")
    print(f"done, but {client.warning}" if client.warning else "done")
    return common.DONE


def _show_status(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        status = client.status()
    finally:
        client.close()
    print(json.dumps(status) if args.json else "\n".join(status_lines(status)))
    return common.DONE


def status_lines(status: dict[str, Any]) -> list[str]:
    """Return the lines that `edge-door status` prints."""
    reason, relocks_in_s = status["reason"], status["relocks_in_s"]
    soon = f", locks in {relocks_in_s:.1f} s" if relocks_in_s else ""
    lines = [f"{status['state']} ({reason}){soon}: {sentence_of(LockReason, reason)}"]
    if doubt := status["clock"]["doubt"]:
        lines.append(f"  CLOCK: {describe_doubt(ClockDoubt(doubt))}; {REMEDY}")
    for name, active in status["inputs"].items():
        lines.append(f"  {name}: {'active' if active else 'inactive'}")
    for alarm in status["alarms"]:
        lines.append(f"  ALARM: {alarm}: {sentence_of(DoorAlarm, alarm)}")
    if lost := status["records_lost"]:
        lines.append(f"  {lost} events not recorded since the last one that was: is the disk full?")
    if refused := status["reload_refused"]:
        lines.append(f"  configuration refused, the previous one applies: {refused}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
