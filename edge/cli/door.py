"""`edge-door`: the process that owns the lock."""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from edge.audit.log import BoundedLog, JsonLog
from edge.claim import claim
from edge.cli import common
from edge.config import Door, Terminal, differing, load_config
from edge.door.client import DoorClient
from edge.door.controller import Command, DoorRules
from edge.door.inputs import open_inputs
from edge.door.relay import open_relay
from edge.door.schedule import schedule_of
from edge.door.service import Conduct, DoorService, Wiring
from edge.errors import ConfigError, DoorError, MfsaError
from edge.ops.notify import Notifier

log = logging.getLogger(__name__)

# What hangs on wires and files that are open: another value needs another start.
_FIXED = ("state", "door.state", "door.socket", "door.relay", "door.alarm", "door.inputs")

_COMMANDS = {
    "unlock": (Command.UNLOCK, "open once, for a pulse"),
    "hold": (Command.HOLD, "hold the door open until it is released"),
    "lockdown": (Command.LOCKDOWN, "open for nobody but exit button and fire, until it is released"),
    "release": (Command.RELEASE, "end hold and lockdown"),
    "reset-fire": (Command.RESET_FIRE, "end the fire state, once its input is quiet"),
    "reset-tamper": (Command.RESET_TAMPER, "end the tamper alarm, once the case is closed"),
}


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-door", "Own the door's relay, or ask the process that does.", "edge-door run --config /etc/mfsa-edge/terminal.yaml"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar=f"run|rest|status|{'|'.join(_COMMANDS)}")
    serve = commands.add_parser("run", help="take grants and move the relay until SIGTERM; locked at start and end")
    rest = commands.add_parser("rest", help="drive the lock's line to rest after the process ended; systemd calls it")
    status = commands.add_parser("status", help="whether the door is locked, and why")
    asking = {name: commands.add_parser(name, help=words) for name, (_, words) in _COMMANDS.items()}
    for sub in (serve, rest, status, *asking.values()):
        common.add_config(sub)
    for sub in asking.values():
        sub.add_argument("--reason", required=True, metavar="WORDS", help="why, for the record")
    status.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args(argv)
    does = {"run": _serve, "rest": _rest, "status": _status}.get(args.command, _ask)
    return common.run("edge-door", lambda: does(args))


def _serve(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    common.log_in_background()
    stopping, reading = threading.Event(), Reading(args.config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: reading.asked.set())
    lock = claim(config.door_lock_path, "edge-door")  # before wires and record are touched
    wiring = _open_wiring(config.door)
    try:
        record = BoundedLog(JsonLog(config.door_record_path))
        service = DoorService(_conduct(config), wiring, record, config.socket_path)
    except BaseException:
        wiring.close()
        raise
    notifier = Notifier()
    notifier.ready()
    try:
        while not stopping.is_set():
            service.step()
            notifier.alive()
            config = _reload(reading, config, service, notifier)
    finally:
        service.close()
        notifier.close()
        os.close(lock)
    return common.DONE


def _rest(args: argparse.Namespace) -> int:
    """A killed process leaves its line driven; opening the relay drives it to rest, and so does closing it."""
    config = load_config(args.config)
    lock = claim(config.door_lock_path, "edge-door")  # not while a door process is at work
    try:
        open_relay(config.door.relay).close()
    finally:
        os.close(lock)
    print("the lock's line is at rest")
    return common.DONE


def _open_wiring(door: Door) -> Wiring:
    """The lock's relay first, so that it is locked whatever else fails; raises DoorError."""
    wiring = Wiring(open_relay(door.relay))
    try:
        if door.alarm is not None:
            wiring = replace(wiring, alarm=open_relay(door.alarm))
        return replace(wiring, inputs=open_inputs(door.inputs))
    except BaseException:
        wiring.close()
        raise


def _conduct(config: Terminal) -> Conduct:
    door = config.door
    rules = DoorRules(door.pulse_s, door.extended_s, door.exit_s, door.held_open_s, door.relock)
    return Conduct(rules, schedule_of(door.schedule), door.clients, door.operators, config.record.unwritable == "open")


class Reading:
    """The configuration read again in a thread of its own: the loop that ends pulses never waits for a disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: queue.SimpleQueue[Terminal | MfsaError] = queue.SimpleQueue()
        self.asked = threading.Event()

    def begin(self) -> None:
        self.asked.clear()
        threading.Thread(target=self._load, name="configuration", daemon=True).start()

    def _load(self) -> None:
        try:
            self._read.put(load_config(self._path))
        except MfsaError as error:
            self._read.put(error)

    def take(self) -> Terminal | None:
        """What was read since the last call; raises MfsaError where it cannot be used."""
        try:
            found = self._read.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, MfsaError):
            raise found
        return found


def _reload(reading: Reading, config: Terminal, service: DoorService, notifier: Notifier) -> Terminal:
    """After SIGHUP the new configuration, whole or not at all; the one that holds."""
    if reading.asked.is_set():
        notifier.reloading()
        reading.begin()
    try:
        fresh = reading.take()
        if fresh is None:
            return config
        if fixed := differing(config, fresh, _FIXED):
            raise ConfigError(f"{', '.join(fixed)}: another value needs a restart")
        service.reload(_conduct(fresh))
        log.info("the configuration was read again")
    except MfsaError as error:
        log.error("the configuration stays as it was: %s", error)
        fresh = config
    notifier.ready()
    return fresh


def _ask(args: argparse.Namespace) -> int:
    command, _ = _COMMANDS[args.command]
    client = DoorClient(load_config(args.config).socket_path)
    try:
        refused = client.command(command.value, args.reason)
    finally:
        client.close()
    if refused is not None:
        raise DoorError(f"{args.command}: the door refused: {refused}")
    print("done")
    return common.DONE


def _status(args: argparse.Namespace) -> int:
    client = DoorClient(load_config(args.config).socket_path)
    try:
        answer = client.status()
    finally:
        client.close()
    if args.json:
        print(json.dumps(answer))
        return common.DONE
    rest = f", locks in {answer['relocks_in_s']:.1f} s" if answer["relocks_in_s"] else ""
    print(f"{answer['state']} ({answer['reason']}){rest}")
    for name, active in answer["inputs"].items():
        print(f"  {name}: {'active' if active else 'quiet'}")
    for alarm in answer["alarms"]:
        print(f"  ALARM: {alarm}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
