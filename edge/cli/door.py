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
from edge.config import TerminalConfig, load_config
from edge.config.restart import check_unchanged
from edge.door import hardware
from edge.door.client import DoorClient
from edge.door.clock_trust import TRUST_CLOCK, describe_doubt
from edge.door.config_reloader import ConfigReloader
from edge.door.controller import OperatorCommand
from edge.door.events import DoorAlarm, LockReason, describe_refusal
from edge.door.protocol import check_reason
from edge.door.record import load_previous_run
from edge.door.safe_state import force_safe_state
from edge.door.service import DoorService
from edge.door.settings import build_settings
from edge.errors import ConfigError, DoorError, MfsaError
from edge.system.lockfile import acquire_lock
from edge.system.systemd import SystemdNotifier
from edge.system.wallclock import REMEDY, ClockDoubt

log = logging.getLogger(__name__)

_ALIVE_S = 0.5  # a quarter of the watchdog's patience
_PAUSE_S = 5.0  # before a start that systemd tries again, where only people can help

_COMMANDS = {
    OperatorCommand.UNLOCK.value: "open once, for a pulse",
    OperatorCommand.HOLD.value: "hold the door open until it is released",
    OperatorCommand.LOCKDOWN.value: "open only for exit button and fire, until it is released",
    OperatorCommand.RELEASE.value: "end hold and lockdown",
    OperatorCommand.RESET_FIRE.value: "end the fire state, once its input is quiet",
    OperatorCommand.RESET_TAMPER.value: "end the tamper alarm, once the case is closed",
    TRUST_CLOCK: "trust the clock as it is now, in both processes: you checked that it is right",
}


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-door",
        "Own the door's relay, or ask the process that does.",
        "edge-door run --config /etc/mfsa-edge/terminal.yaml",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar=f"run|safe-state|check|status|{'|'.join(_COMMANDS)}"
    )
    serve = commands.add_parser(
        "run", help="take grants and move the relay until SIGTERM; locked at start and end"
    )
    safe_state = commands.add_parser(
        "safe-state",
        help="de-energise lock and alarm relay after the process ended; systemd calls it",
    )
    check = commands.add_parser(
        "check", help="whether the configuration can be used; systemd asks before a reload"
    )
    status = commands.add_parser("status", help="whether the door is locked, and why")
    asking = {name: commands.add_parser(name, help=words) for name, words in _COMMANDS.items()}
    for sub in (serve, safe_state, check, status, *asking.values()):
        common.add_config(sub)
    for sub in asking.values():
        sub.add_argument(
            "--reason", type=_reason, required=True, metavar="WORDS", help="why, for the record"
        )
    status.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args(argv)
    does = {"run": _serve, "safe-state": _force_safe_state, "check": _check, "status": _status}.get(
        args.command, _ask
    )
    return common.run("edge-door", lambda: does(args))


def _reason(text: str) -> str:
    try:
        check_reason(text)
    except DoorError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


class _Asked:
    """What signals ask for. Plain attributes: a handler that takes a lock may wait for the very code that it interrupts."""

    def __init__(self) -> None:
        self.stop = self.reload = False

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.hear)

    def hear(self, number: int, _: object) -> None:
        if number == signal.SIGHUP:
            self.reload = True
        else:
            self.stop = True


def _serve(args: argparse.Namespace) -> int:
    config = _load(args.config)
    asked = _Asked()
    asked.listen()
    common.log_in_background()
    lock = acquire_lock(config.door_lock_path, "edge-door")  # before wires and record are touched
    notifier = SystemdNotifier()
    service = _open(config)
    try:
        _run(service, config, ConfigReloader(args.config), asked, notifier)
    finally:
        service.close()
        notifier.close()
        os.close(lock)
    return common.DONE


def _load(path: Path) -> TerminalConfig:
    """Raises ConfigError, under systemd after a while: it starts the door anew at once, for ever, and every start costs more than
    a second of a small machine. The lock is locked meanwhile, `edge-door safe-state` has seen to it."""
    try:
        return load_config(path)
    except ConfigError as error:
        if os.environ.get("NOTIFY_SOCKET"):
            print(
                f"edge-door: locked until the configuration is mended: {error}",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(_PAUSE_S)
        raise


def _open(config: TerminalConfig) -> DoorService:
    """Wires first, so that the lock is at rest whatever else fails; raises DoorError."""
    hardware.save_outputs(hardware.configured_outputs(config.door), config.door_wiring_path)
    wires = hardware.open_hardware(config.door)
    try:
        record = AsyncLogWriter(
            lambda: AuditLogWriter(config.door_record_path, of=f"{config.terminal}/door")
        )
        return DoorService(
            build_settings(config),
            wires,
            record,
            config.socket_path,
            previous=load_previous_run(config.door_record_path),
        )
    except BaseException:
        wires.close()
        raise


def _run(
    service: DoorService,
    config: TerminalConfig,
    reading: ConfigReloader,
    asked: _Asked,
    notifier: SystemdNotifier,
) -> None:
    """The loop, until a signal ends it."""
    notifier.ready()
    log.info("ready: %s", _line(service))
    alive_at = -math.inf
    while not asked.stop:
        service.step()
        if (now := time.monotonic()) - alive_at >= _ALIVE_S:
            alive_at = now
            notifier.alive(_line(service))
        if asked.reload:
            asked.reload = False
            notifier.reloading()
            reading.start()
        config = _reload(reading, config, service, notifier)


def _line(service: DoorService) -> str:
    """For `systemctl status`."""
    status = service.status()
    refused = (
        f"; configuration refused: {status['reload_refused']}" if status["reload_refused"] else ""
    )
    return " ".join(f"{status['state']} ({status['reason']}){refused}".split())


def _reload(
    reading: ConfigReloader, config: TerminalConfig, service: DoorService, notifier: SystemdNotifier
) -> TerminalConfig:
    """The configuration that SIGHUP asked for, once it has been read, whole or not at all; the one that holds."""
    try:
        found = reading.poll()
        if found is None:
            return config
        fresh, settings = found
        check_unchanged(config, fresh, "door")
        service.reload(settings)
        log.info("the configuration was read again")
    except MfsaError as error:
        log.error("the configuration stays as it was: %s", error)
        service.refuse_reload(str(error))
        fresh = config
    notifier.ready()
    return fresh


def _check(args: argparse.Namespace) -> int:
    build_settings(load_config(args.config)).check_accounts()
    print("the configuration can be used")
    return common.DONE


def _force_safe_state(args: argparse.Namespace) -> int:
    force_safe_state(args.config)
    print("the door's outputs are de-energised")
    return common.DONE


def _ask(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        refused = client.command(args.command, args.reason)
    finally:
        client.close()
    if refused is not None:
        raise DoorError(f"{args.command}: the door refused: {describe_refusal(refused)}")
    print(f"done, but {client.warning}" if client.warning else "done")
    return common.DONE


def _status(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        answer = client.status()
    finally:
        client.close()
    if args.json:
        print(json.dumps(answer))
    else:
        _tell(answer)
    return common.DONE


def _tell(answer: dict[str, Any]) -> None:
    soon = f", locks in {answer['relocks_in_s']:.1f} s" if answer["relocks_in_s"] else ""
    reason = answer["reason"]
    print(f"{answer['state']} ({reason}){soon}: {LockReason(reason).sentence}")
    if doubt := answer["clock"]["doubt"]:
        print(f"  CLOCK: {describe_doubt(ClockDoubt(doubt))}; {REMEDY}")
    for name, active in answer["inputs"].items():
        print(f"  {name}: {'active' if active else 'inactive'}")
    for alarm in answer["alarms"]:
        print(f"  ALARM: {alarm}: {DoorAlarm(alarm).sentence}")
    if lost := answer["records_lost"]:
        print(f"  {lost} records lost since the last that was written: is the disk full?")
    if refused := answer["reload_refused"]:
        print(f"  configuration refused, the one before holds: {refused}")


if __name__ == "__main__":
    sys.exit(main())
